"""Hands in an image: palm detection, regions, landmarks and tracking."""
