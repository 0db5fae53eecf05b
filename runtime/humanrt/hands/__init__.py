"""Hands in an image: palm detection, regions, landmarks, and the identities that hold them together."""
