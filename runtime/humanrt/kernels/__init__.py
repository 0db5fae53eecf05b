"""CUDA kernels of humanrt, compiled with pycuda on the machine that runs them: the steps between a frame's networks.

``letterbox.cu`` frame -> network's input, ``crop.cu`` a rotated square of it; ``one_euro.cu`` smoothing of keypoints;
``pick.cu`` one frame out of windows; ``retarget.cu`` keypoints -> joint angles for a batch of hands, with the
header that it shares with the CPU's solver. Each file begins with a description of what it computes, and has a module
of the same name that passes it its arguments. The tests compile the same sources for the CPU and compare them with
humanrt's CPU code.
"""

from __future__ import annotations

from humanrt.kernels.loader import ARCHITECTURES, load_kernel, source_path

__all__ = ["ARCHITECTURES", "load_kernel", "source_path"]
