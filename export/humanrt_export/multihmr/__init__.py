"""Multi-HMR: networks, official checkpoints, SMPL-X, and their way into a bundle. Start at `export`."""
