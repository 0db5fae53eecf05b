"""PoseBERT: refinement of windows and streams of poses."""
