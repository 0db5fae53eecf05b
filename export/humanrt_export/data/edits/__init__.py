"""Texts that ask for a change of a pose, with what they ask for, to train an editor on. All wordings are our own."""
