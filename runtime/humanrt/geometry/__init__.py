"""Rotations, cameras, image regions, skeletons, the hand's keypoints: one module per concept."""
