"""Rotations, cameras, image regions and skeletons: one module per concept."""
