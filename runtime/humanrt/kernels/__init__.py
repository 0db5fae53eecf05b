"""CUDA kernels of humanrt's own, compiled with pycuda where they run: what is between the networks of a frame.

``letterbox.cu`` frame -> network's input, ``crop.cu`` a rotated square of it; ``one_euro.cu`` smoothing of keypoints;
``pick.cu`` one frame out of windows; ``retarget.cu`` keypoints -> joint angles for a batch of hands, with the
header that it shares with the CPU's solver. Each file begins
with what it computes, and has a module of the same name that gives it its arguments. The same sources are compiled for
the CPU in the tests, against what humanrt computes there.
"""

from __future__ import annotations

from humanrt.kernels.loader import ARCHITECTURES, load_kernel, source_path

__all__ = ["ARCHITECTURES", "load_kernel", "source_path"]
