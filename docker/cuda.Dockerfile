# humanrt on an NVIDIA GPU: docker build -f docker/cuda.Dockerfile -t humanrt:cuda . && docker run --rm --gpus all humanrt:cuda doctor
# pycuda is compiled, and humanrt's kernels when they are first used: both need nvcc, so it is the image with the toolkit.
FROM nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libegl1 libgl1 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV VIRTUAL_ENV=/opt/humanrt PATH=/opt/humanrt/bin:$PATH CUDA_ROOT=/usr/local/cuda
WORKDIR /src
COPY . .
# onnxruntime and onnxruntime-gpu install the same files: only one of them may be there.
# hadolint ignore=DL3013
RUN python3 -m venv "$VIRTUAL_ENV" \
    && pip install --no-cache-dir '.[cuda,video]' \
    && pip uninstall -y onnxruntime \
    && pip install --no-cache-dir onnxruntime-gpu \
    && rm -rf /src/*
RUN useradd --create-home --uid 10001 user
USER 10001
WORKDIR /data
ENTRYPOINT ["humanrt"]
CMD ["doctor"]
