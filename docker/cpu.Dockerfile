# humanrt on a processor: docker build -f docker/cpu.Dockerfile -t humanrt . && docker run --rm -v "$PWD:/data" humanrt run /data/clip.mp4 --headless --record /data/clip.jsonl
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
# Meshes are drawn with OpenGL through EGL, in software.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# hadolint ignore=DL3013
RUN wheel="$(ls /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[video]" moderngl && rm -r /wheels
RUN useradd --create-home --uid 10001 user
USER 10001
WORKDIR /data
ENTRYPOINT ["humanrt"]
CMD ["doctor"]
