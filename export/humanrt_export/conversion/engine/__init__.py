"""TensorRT engines: checks before the build, the build, and the report of what was built."""
