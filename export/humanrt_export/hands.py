"""``humanrt-export hands``: the bundle ``hands`` out of MediaPipe's palm detector and hand landmark models.

The models come from the mediapipe wheel (pinned by sha256), become ONNX graphs (`tflite_to_onnx`, `onnx_cleanup`), and
must agree with LiteRT on real frames and on noise before anything is written.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from humanrt.backends import Backend, BackendOptions, Binding, Buffer, Graph, open_backend
from humanrt.bundle import Bundle, GraphSpec, cache_folder, load_bundle
from humanrt.errors import BundleError, SourceError
from humanrt.hands.landmarks import LandmarkNetwork
from humanrt.hands.palm import PalmDetector
from humanrt_export.bundle_writer import BundleWriter, sha256
from humanrt_export.onnx_cleanup import Graph as OnnxGraph
from humanrt_export.onnx_cleanup import clean, merge_ssd_heads, rename, store_as_float16
from humanrt_export.tflite_to_onnx import convert

__all__ = ["anchor_centres", "build_graph", "configure", "export_hands", "read_wheel", "run"]

Array = NDArray[Any]

MEDIAPIPE = "mediapipe==0.10.21"
LICENCE_FILE = "mediapipe-0.10.21.dist-info/LICENSE"
# The wheel is only a container of data: any of its platforms serves, so one is fixed.
WHEEL_TAGS = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp")


@dataclass(frozen=True)
class Source:
    """One model of the wheel and what it becomes.

    Attributes:
        path: path in the wheel.
        sha256: of the file; another file is refused.
        outputs: names and descriptions of the graph's outputs, in the flatbuffer's order.
        shapes: final shape of each output.
        image: description of the input.
        units: unit of each output and the largest absolute difference from LiteRT that the parity gate allows.
    """

    path: str
    sha256: str
    outputs: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    image: str
    units: Mapping[str, tuple[str, float]]


def _landmarks(path: str, digest: str) -> Source:
    return Source(
        path,
        digest,
        {
            "keypoints_2d": "21 hand keypoints in MediaPipe order: x, y in px of the 224 px crop (origin at its top "
            "left corner), z in the same px relative to the wrist, smaller is nearer to the camera",
            "presence": "probability in 0..1 that the crop holds a hand (sigmoid is in the graph)",
            "handedness": "probability in 0..1 that it is a right hand, for an image that is not mirrored (sigmoid "
            "is in the graph; MediaPipe calls it `Left`, because it assumes mirrored images)",
            "keypoints_3d": "the same keypoints in metres, relative to the hand's own origin, axes of the crop: x "
            "right, y down, z away from the camera; turn x and y by the crop's angle to get the camera's",
        },
        {"keypoints_2d": (1, 21, 3), "presence": (1, 1), "handedness": (1, 1), "keypoints_3d": (1, 21, 3)},
        "RGB in 0..1, NCHW, the hand's region turned upright and scaled to 224 px",
        {
            "keypoints_2d": ("px", 0.02),
            "presence": ("probability", 1e-4),
            "handedness": ("probability", 1e-4),
            "keypoints_3d": ("m", 1e-5),
        },
    )


SOURCES: Mapping[str, Source] = {
    "palm_detector": Source(
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        {
            "boxes": "per anchor, in px of the 192 px square, relative to the anchor's centre: x, y of the palm's "
            "centre; its width and height (absolute); x, y of 7 keypoints (0 wrist, 2 middle finger MCP)",
            "scores": "per anchor, logit of a palm (no sigmoid in the graph: compare logits, convert the survivors)",
        },
        {"boxes": (1, 2016, 18), "scores": (1, 2016)},
        "RGB in 0..1, NCHW, letterboxed to 192 px: aspect kept, centred, black padding",
        {"boxes": ("px", 0.02), "scores": ("logit", 2e-3)},
    ),
    "landmarks_full": _landmarks(
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    "landmarks_lite": _landmarks(
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    ),
}

# The published values of MediaPipe's graphs (modules/palm_detection, modules/hand_landmark).
SETTINGS: Mapping[str, Any] = {
    "palm": {
        "input_size": 192,
        "box_scale": 192.0,
        "keypoints": 7,
        "wrist": 0,
        "middle_mcp": 2,
        "score_threshold": 0.5,
        "score_clip": 100.0,
        "nms": "weighted",
        "nms_iou": 0.3,
        "region": {"scale": 2.6, "shift": -0.5, "square": "longer side", "up": ["wrist", "middle_mcp"]},
    },
    "landmarks": {
        "models": ["full", "lite"],
        "input_size": 224,
        "presence_threshold": 0.5,
        "region": {
            "scale": 2.0,
            "shift": -0.1,
            "square": "longer side",
            "keypoints": [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18],
            "up": {"from": {"0": 1.0}, "to": {"5": 0.25, "9": 0.5, "13": 0.25}},
        },
    },
    "tracking": {"max_hands": 2, "same_hand_iou": 0.5},
}

# Parity gate: every STRIDE-th frame of the video, and NOISE images of seeded noise per graph.
STRIDE = 10
NOISE = 16
MIN_CROPS = 20


# --------------------------------------------------------------------------------------------- source


def download_wheel(folder: Path) -> Path:
    """Get the mediapipe wheel with pip, once, into ``folder``; its path. SourceError says what to do without it."""
    if found := sorted(folder.glob("mediapipe-0.10.21-*.whl")):
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [*WHEEL_TAGS, "--dest", str(folder), MEDIAPIPE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SourceError(f"{folder} cannot be used for the download ({error}); give --mediapipe-wheel") from error
    found = sorted(folder.glob("mediapipe-0.10.21-*.whl"))
    if result.returncode or not found:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise SourceError(
            f"{MEDIAPIPE} cannot be downloaded ({lines[-1].strip()}); get its wheel elsewhere and give "
            "--mediapipe-wheel FILE"
        )
    return found[0]


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """The models (by graph name) and ``LICENSE`` out of the wheel, checked against their pinned sha256."""
    if not wheel.is_file():
        raise SourceError(f"mediapipe wheel {wheel} does not exist; leave --mediapipe-wheel away to download it")
    wanted = {**{name: source.path for name, source in SOURCES.items()}, "LICENSE": LICENCE_FILE}
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = {name: archive.read(path) for name, path in wanted.items()}
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{wheel} cannot be read as a wheel ({error}); get {MEDIAPIPE} again") from error
    except KeyError as error:
        raise SourceError(f"{wheel} is not the wheel of {MEDIAPIPE}: {error.args[0]}") from error
    for name, source in SOURCES.items():
        if (digest := sha256(data[name])) != source.sha256:
            raise SourceError(
                f"{wheel}: {source.path} has sha256 {digest[:12]}..., not {source.sha256[:12]}...; use {MEDIAPIPE}"
            )
    return data


# --------------------------------------------------------------------------------------------- graphs


def build_graph(name: str, data: bytes) -> onnx.ModelProto:
    """The ONNX graph ``name`` of the bundle from its flatbuffer: converted, cleaned, named, weights as float16."""
    source = SOURCES[name]
    model = convert(data, source=source.path, name=name)
    graph = OnnxGraph.of(model)
    if name == "palm_detector":
        merge_ssd_heads(graph, "output_0", "output_1")
    model = clean(graph.to_model())
    names = [("input_0", "image"), *((f"output_{i}", output) for i, output in enumerate(source.outputs))]
    return store_as_float16(_reshape_outputs(rename(model, names), source.shapes))


def _reshape_outputs(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """Give every output its final shape."""
    graph = OnnxGraph.of(model)
    for value in graph.model.graph.output:
        now = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        target = shapes[value.name]
        if now == target:
            continue
        producer = graph.producer(value.name)
        assert producer is not None
        before = f"{value.name}_flat"
        producer.output[:] = [before if item == value.name else item for item in producer.output]
        shape = graph.constant(f"{value.name}_shape", np.array(target, np.int64))
        graph.nodes.append(helper.make_node("Reshape", [before, shape], [value.name], name=f"Reshape_{value.name}"))
        value.CopyFrom(helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, target))
    return graph.to_model()


def anchor_centres(size: int = 192, strides: Iterable[int] = (8, 16, 16, 16), per_layer: int = 2) -> Array:
    """Centres of the palm detector's anchors, 0..1 of the square.

    Layers of equal stride share one grid, with ``per_layer`` anchors each at the centre of every cell; anchors are
    ordered by grid, row, column.

    Returns:
        float32 [2016, 2]: x, y.
    """
    centres = []
    for stride, layers in itertools.groupby(strides):
        cells = size // stride
        axis = (np.arange(cells, dtype=np.float64) + 0.5) / cells
        y, x = np.meshgrid(axis, axis, indexing="ij")
        grid = np.stack([x, y], axis=-1).reshape(-1, 2)
        centres.append(np.repeat(grid, per_layer * len(list(layers)), axis=0))
    return np.concatenate(centres).astype(np.float32)


# --------------------------------------------------------------------------------------------- parity gate


@dataclass
class _Recorder(Backend):
    """A backend that keeps every input a graph was given: the gate sees exactly what the runtime feeds."""

    inner: Backend
    seen: dict[str, list[Array]] = field(default_factory=dict)
    name: str = "recorder"

    def open(self, spec: GraphSpec) -> Graph:
        return _RecordingGraph(self.inner.open(spec), self.seen.setdefault(spec.name, []))


class _RecordingGraph(Graph):
    def __init__(self, inner: Graph, seen: list[Array]) -> None:
        self.inner, self.spec, self.seen = inner, inner.spec, seen

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.seen.append(np.array(feeds["image"]))
        return self.inner.run(feeds)

    def buffer(self, name: str) -> Buffer:
        return self.inner.buffer(name)

    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        return _RecordingBinding(self.inner.bind(inputs, outputs), inputs["image"], self.seen)


@dataclass
class _RecordingBinding(Binding):
    inner: Binding
    image: Buffer
    seen: list[Array]

    def run(self) -> None:
        self.seen.append(self.image.download())
        self.inner.run()


def _frames(video: Path, stride: int) -> Iterable[NDArray[np.uint8]]:
    """Every ``stride``-th frame of a video as RGB uint8 [H, W, 3]."""
    if not video.is_file():
        raise SourceError(
            f"video {video} for the parity gate does not exist; give one that shows a hand: --frames VIDEO"
        )
    capture = cv2.VideoCapture(str(video))
    try:
        for index in itertools.count():
            ok, frame = capture.read()
            if not ok:
                break
            if index % stride == 0:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    finally:
        capture.release()


def _real_inputs(bundle: Bundle, video: Path) -> dict[str, list[Array]]:
    """What the runtime's own pipeline feeds each graph on the video: letterboxed frames, and crops of the hand.

    Per frame and landmark model: the crop that the palm detector gives and the one that tracking would give next.
    """
    recorder = _Recorder(open_backend("cpu", BackendOptions(threads=1)))
    palms = PalmDetector(bundle, recorder)
    networks = [LandmarkNetwork(bundle, recorder, model) for model in SETTINGS["landmarks"]["models"]]
    for frame in _frames(video, STRIDE):
        for palm in palms(frame)[:2]:
            for network in networks:
                network(frame, network(frame, palm.region).region)
    crops = min(len(images) for name, images in recorder.seen.items() if name.startswith("landmarks"))
    if crops < MIN_CROPS:
        raise SourceError(
            f"{video}: only {crops} crops of a hand were found, the parity gate needs {MIN_CROPS}; give a video that "
            "shows a hand for longer: --frames VIDEO"
        )
    return recorder.seen


def litert(data: bytes) -> Callable[[Array], list[Array]]:
    """A TensorFlow Lite model in LiteRT, as a function of an NCHW image.

    Built-in kernels without delegates: they are the reference that XNNPACK itself is measured against.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    outputs = [item["index"] for item in interpreter.get_output_details()]

    def infer(nchw: Array) -> list[Array]:
        interpreter.set_tensor(image, np.ascontiguousarray(nchw.transpose(0, 2, 3, 1)))
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return infer


def _noise(shape: tuple[int, ...], count: int) -> Iterable[Array]:
    """Seeded noise in 0..1: white, and smoothed so that it reaches the deep layers as structure."""
    rng = np.random.default_rng(20250131)
    for index in range(count):
        image = rng.random(shape, np.float32)
        if index % 2:
            for channel in image[0]:
                channel[:] = cv2.GaussianBlur(channel, (0, 0), 6) * 6 - 2.5
            image = image.clip(0, 1)
        yield image


def _significant(value: float) -> float:
    return float(f"{value:.3g}")


def compare(graph: Graph, reference: Callable[[Array], list[Array]], images: Iterable[Array]) -> dict[str, Any]:
    """Largest and mean difference of each output over the images, absolute and relative to the largest reference."""
    units = SOURCES[graph.spec.name].units
    worst = dict.fromkeys(units, 0.0)
    mean: dict[str, list[float]] = {name: [] for name in units}
    largest = dict.fromkeys(units, 0.0)
    for image in images:
        got = graph.run({"image": image})
        for name, expected in zip(units, reference(image), strict=True):
            difference = np.abs(got[name].reshape(-1).astype(np.float64) - expected.reshape(-1))
            # A NaN must not pass for agreement: max() would ignore it in half of the cases.
            worst[name] = max(worst[name], float(np.nan_to_num(difference, nan=np.inf).max()))
            mean[name].append(float(difference.mean()))
            largest[name] = max(largest[name], float(np.abs(expected).max()))
    return {
        name: {
            "unit": unit,
            "max_abs": _significant(worst[name]),
            "mean_abs": _significant(float(np.mean(mean[name]))),
            "max_rel": _significant(worst[name] / largest[name]),
            "threshold_abs": threshold,
            "passed": worst[name] <= threshold,
        }
        for name, (unit, threshold) in units.items()
    }


def parity(bundle: Bundle, models: Mapping[str, bytes], video: Path) -> dict[str, Any]:
    """Verdict of each graph against LiteRT, on frames of the video and on noise."""
    real = _real_inputs(bundle, video)
    source = {"name": video.name, "sha256": sha256(video), "stride": STRIDE}
    verdicts = {}
    backend = open_backend("cpu", BackendOptions(threads=1))  # one thread: the same sums, the same verdict
    for name in SOURCES:
        with backend.open(bundle.graph(name)) as graph:
            shape = graph.tensor("image").shape
            images = [*real[name], *_noise(shape, NOISE)]
            outputs = compare(graph, litert(models[name]), images)
        verdicts[name] = {
            "passed": all(item["passed"] for item in outputs.values()),
            "reference": f"ai-edge-litert {version('ai-edge-litert')}, built-in kernels",
            "runtime": f"onnxruntime {version('onnxruntime')}, CPU",
            "frames": len(real[name]),
            "noise": NOISE,
            "source": source,
            "outputs": outputs,
        }
    return verdicts


# --------------------------------------------------------------------------------------------- command


def export_hands(out: Path, wheel: Path, video: Path) -> Path:
    """Make the bundle ``hands`` in ``out``; its path.

    Raises:
        HumanrtError: a source is missing or not the pinned one, or the parity gate failed. Nothing is written then.
    """
    data = read_wheel(wheel)
    provenance = {
        "source": "mediapipe 0.10.21 wheel from PyPI",
        "authors": "The MediaPipe Authors",
        "files": {
            Path(source.path).name: {"path": source.path, "sha256": source.sha256, "graph": name}
            for name, source in SOURCES.items()
        },
        "converted_by": "humanrt-export hands",
        "tools": {tool: version(tool) for tool in ("ai-edge-litert", "numpy", "onnx", "onnxruntime", "tflite")},
    }
    with BundleWriter(
        out,
        name="hands",
        task="hands",
        version="1",
        licence="Apache-2.0",
        provenance=provenance,
        settings=SETTINGS,
    ) as writer:
        for name, source in SOURCES.items():
            model = build_graph(name, data[name])
            writer.add_graph(name, model, {"image": source.image}, source.outputs)
        writer.add_arrays(
            "anchors",
            {"anchors": anchor_centres()},
            {"anchors": "x, y of the anchors' centres, 0..1 of the square, in the order of the detector's rows"},
        )
        writer.add_file("LICENSE", data["LICENSE"])
        writer.write_manifest()
        verdicts = parity(load_bundle(writer.folder, task="hands"), data, video)
        for name, verdict in verdicts.items():
            for output, item in verdict["outputs"].items():
                if not item["passed"]:
                    raise BundleError(
                        f"parity gate: {name}.{output} differs from LiteRT by {item['max_abs']} {item['unit']}, more "
                        f"than {item['threshold_abs']}; nothing was written"
                    )
        writer.manifest["parity"] = verdicts
        return writer.commit()


def _default_video() -> Path:
    """The recording beside a checkout; it is not part of the project."""
    return Path(__file__).resolve().parents[3] / "shared" / "media" / "hand.mp4"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``humanrt-export hands``."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument(
        "--mediapipe-wheel", type=Path, metavar="FILE", help=f"the wheel of {MEDIAPIPE}; default: download it with pip"
    )
    parser.add_argument(
        "--frames", type=Path, metavar="VIDEO", help="video that shows a hand, for the parity gate against LiteRT"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    video: Path = options.frames or _default_video()
    if not video.is_file():
        raise SourceError(
            f"video {video} for the parity gate does not exist; give one that shows a hand: --frames VIDEO"
        )
    wheel = options.mediapipe_wheel or download_wheel(cache_folder() / "downloads")
    folder = export_hands(options.out, wheel, video)
    sys.stdout.write(f"{folder}: bundle `hands`, parity with LiteRT passed\n")
    return 0
