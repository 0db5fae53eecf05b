"""Reduced precision: FP16 and INT8 variants of graphs, each with a verdict."""
