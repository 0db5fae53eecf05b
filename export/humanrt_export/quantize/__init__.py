"""Graphs of lower precision, each with a measured verdict: ``humanrt-export quantize``."""
