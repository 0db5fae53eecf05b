"""Networks in PyTorch, and the layers that they share."""
