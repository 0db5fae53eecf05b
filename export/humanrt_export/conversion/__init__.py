"""From checkpoints and model files to bundles: tracing, clean-up, parity gates."""
