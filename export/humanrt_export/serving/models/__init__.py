"""Models of a Triton repository in Python: each is copied there as ``model.py``, and needs humanrt on the server."""
