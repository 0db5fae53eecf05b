"""What is trained: one module per task, with its losses."""
