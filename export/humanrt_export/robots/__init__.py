"""Robots of others: MJCF as URDF, and what a description of them says, proposed."""
