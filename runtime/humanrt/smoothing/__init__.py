"""Filters in time, whatever they smooth."""
