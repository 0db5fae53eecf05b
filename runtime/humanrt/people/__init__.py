"""People: Multi-HMR through a bundle, identities over frames, pictures and mesh files."""
