"""Bundles as model repositories of Triton Inference Server."""
