"""Training data: pictures of people, and clips of poses."""
