"""One embedding of pictures, poses and words (`PoseEmbedder`)."""
