#!/bin/sh
# Everything that needs a GPU, in one command and under 8 minutes: what was carried made ready (pycuda compiled, ONNX
# Runtime's CUDA unpacked), kernels compiled for this GPU, the tests marked gpu (kernels against the CPU within 1e-4, hands
# and 10,000 frames), hands and Multi-HMR end to end and by stage beside PyTorch, verdicts on engines, compute-sanitizer.
#
#   bench/gpu_check.sh [OUT] [--carry DIR] [--only STEP ...]
#
# Fetches nothing: `python bench/gpu_carry.py` gathers what a bare machine lacks (docs/deploy/gpu.md). OUT (default: gpu_check)
# gets gpu_check.json, gpu_check.md and a log of every step. A step that cannot run says why. Status: 0 all passed, 1 one
# failed, 2 none failed but one was skipped.
cd "$(dirname "$0")/.." && exec "${PYTHON:-python3}" bench/gpu_check.py "$@"
