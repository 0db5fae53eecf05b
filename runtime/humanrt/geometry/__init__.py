"""Rotations, cameras, image regions, skeletons and hand keypoints: one module per concept."""
