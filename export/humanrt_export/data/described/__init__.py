"""People alone in a picture, with their pose and words for it: what the embedder of poses and words learns from."""
