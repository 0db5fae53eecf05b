"""TensorRT plans from a bundle's graphs: ``humanrt-export engine``. One builder for TensorRT and TensorRT for RTX."""
