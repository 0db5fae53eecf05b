"""Where results go: JSON lines, video, windows and mesh files."""
