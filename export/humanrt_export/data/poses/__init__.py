"""Training windows of poses: clips, front-end noise, pairs."""
