"""Temporal filters, independent of the quantity that they smooth."""
