"""Text to token ids and back, from word lists that bundles hold: nothing is downloaded."""
