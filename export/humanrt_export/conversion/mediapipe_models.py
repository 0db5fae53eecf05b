"""Shared parts of bundles of MediaPipe's models: the source wheel, the conversion, the parity gate against LiteRT.

The models come from the mediapipe wheel (pinned by sha256), become ONNX graphs (`tflite_to_onnx`, `onnx_cleanup`), and
must agree with LiteRT on real frames and on noise before anything is written.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.backends import Graph, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BundleError, SourceError
from humanrt.verdict.recording import Recorder
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.onnx_cleanup import clean, merge_ssd_heads, store_as_float16
from humanrt_export.conversion.rewriting import add_constant, make_node, tidy
from humanrt_export.conversion.settings import Entries
from humanrt_export.conversion.tflite_to_onnx import Convert, convert

__all__ = [
    "MEDIAPIPE",
    "Models",
    "Source",
    "add_anchors",
    "anchor_centres",
    "centre_image",
    "compare",
    "download_wheel",
    "exact_graph",
    "gate",
    "images_of",
    "litert",
    "litert_centred",
    "noise",
    "parity",
    "provenance",
    "read_wheel",
]

Array = NDArray[Any]

MEDIAPIPE = "mediapipe==0.10.21"
LICENCE_FILE = "mediapipe-0.10.21.dist-info/LICENSE"
# The wheel is only a container of data: the wheel of any platform works, so one is fixed.
WHEEL_TAGS = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp")

# Parity gate: images of seeded noise per graph, besides the real ones.
NOISE = 16


@dataclass(frozen=True)
class Source:
    """One model of the wheel and the graph to convert it to.

    Attributes:
        path: path in the wheel.
        sha256: hash of the file; another file is refused.
        outputs: names and descriptions of the graph's outputs, in the flatbuffer's order.
        shapes: final shape of each output.
        image: description of the input.
        units: unit of each output and the maximum absolute difference from LiteRT that the parity gate allows.
        keep: the flatbuffer's outputs to keep; None: all. Nodes that only the others need are dropped.
        ssd: a detector whose heads for boxes and scores can be merged, see `onnx_cleanup.merge_ssd_heads`.
        custom: conversions of its own operators (`tflite_to_onnx.convert`).
        rewrite: changes the converted graph before it is cleaned and its outputs are named.
        reference: the flatbuffer -> a function of an NCHW image that returns the outputs, in its order; None: `litert`.
        noise_tolerance: factor by which differences may be larger on noise, where activations of some networks grow
            far beyond those of images.
    """

    path: str
    sha256: str
    outputs: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    image: str
    units: Mapping[str, tuple[str, float]]
    keep: tuple[int, ...] | None = None
    ssd: bool = False
    custom: Mapping[str, Convert] | None = None
    rewrite: Callable[[ir.Model], None] | None = None
    reference: Callable[[bytes], Callable[[Array], list[Array]]] | None = None
    noise_tolerance: float = 1.0


# --------------------------------------------------------------------------------------------- source


def download_wheel(folder: Path) -> Path:
    """Download the mediapipe wheel into ``folder`` once, with pip; returns its path.

    Raises:
        SourceError: pip failed; the message says what to do without it.
    """
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


def read_wheel(wheel: Path, sources: Mapping[str, Source]) -> dict[str, bytes]:
    """Read the models of ``sources`` (by graph name) and ``LICENSE`` from the wheel, checked against their sha256."""
    if not wheel.is_file():
        raise SourceError(f"mediapipe wheel {wheel} does not exist; leave --mediapipe-wheel out to download it")
    wanted = {**{name: source.path for name, source in sources.items()}, "LICENSE": LICENCE_FILE}
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = {name: archive.read(path) for name, path in wanted.items()}
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{wheel} cannot be read as a wheel ({error}); get {MEDIAPIPE} again") from error
    except KeyError as error:
        raise SourceError(f"{wheel} is not the wheel of {MEDIAPIPE}: {error.args[0]}") from error
    for name, source in sources.items():
        if (digest := sha256(data[name])) != source.sha256:
            raise SourceError(
                f"{wheel}: {source.path} has sha256 {digest[:12]}..., not {source.sha256[:12]}...; use {MEDIAPIPE}"
            )
    return data


# --------------------------------------------------------------------------------------------- graphs


def build_graph(name: str, source: Source, data: bytes) -> ir.Model:
    """Build the ONNX graph ``name`` from its flatbuffer: converted, cleaned, named, weights as float16."""
    return store_as_float16(exact_graph(name, source, data))


def exact_graph(name: str, source: Source, data: bytes) -> ir.Model:
    """Build the ONNX graph ``name`` as `build_graph` does, with weights as float32."""
    model = convert(data, source=source.path, name=name, custom=source.custom)
    if source.rewrite is not None:
        source.rewrite(model)
    outputs = model.graph.outputs
    if source.ssd:
        merge_ssd_heads(model, *outputs)
    if source.keep is not None:
        outputs[:] = [outputs[index] for index in source.keep]
        tidy(model)
    clean(model)
    model.graph.inputs[0].name = "image"
    for value, output in zip(outputs, source.outputs, strict=True):
        value.name = output
    _reshape_outputs(model.graph, source.shapes)
    return model


def centre_image(model: ir.Model) -> None:
    """Let the graph take images in 0..1, where its network expects -1..1."""
    graph = model.graph
    image = graph.inputs[0]
    doubled = make_node(
        "Mul", [image, add_constant(graph, "two", np.array(2, np.float32))], "image_doubled", "Mul_image"
    )
    one = add_constant(graph, "one", np.array(1, np.float32))
    centred = make_node("Sub", [doubled.outputs[0], one], "image_centred", "Sub_image")
    image.replace_all_uses_with(centred.outputs[0])
    doubled.replace_input_with(0, image)
    graph.insert_before(graph[0], [doubled, centred])


def _reshape_outputs(graph: ir.Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give every output its final shape."""
    for index, value in enumerate(graph.outputs):
        name, target = value.name, shapes[value.name]
        if value.shape == target:
            continue
        value.name = f"{name}_flat"
        shape = add_constant(graph, f"{name}_shape", np.array(target, np.int64))
        reshape = make_node("Reshape", [value, shape], name)
        graph.append(reshape)
        graph.outputs[index] = reshape.outputs[0]
        graph.outputs[index].type, graph.outputs[index].shape = value.type, ir.Shape(target)


def anchor_centres(size: int, strides: Iterable[int], per_layer: int = 2) -> Array:
    """Return the centres of a detector's anchors, 0..1 of the square.

    Layers of equal stride share one grid, with ``per_layer`` anchors each at the centre of every cell; anchors are
    ordered by grid, row, column.

    Returns:
        float32 [A, 2]: x, y.
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


def images_of(recorder: Recorder) -> dict[str, list[Array]]:
    """Return graph -> every image that it received: the gate sees exactly what the runtime feeds."""
    return {name: [np.asarray(feed["image"]) for feed in feeds] for name, feeds in recorder.feeds().items()}


def litert(data: bytes) -> Callable[[Array], list[Array]]:
    """Load a TensorFlow Lite model in LiteRT as a function of an NCHW image.

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


def litert_centred(data: bytes) -> Callable[[Array], list[Array]]:
    """Load a model that expects images in -1..1 as `litert` does, as a function of one in 0..1 (`centre_image`)."""
    infer = litert(data)
    return lambda nchw: infer(nchw * np.float32(2) - np.float32(1))


def noise(shape: tuple[int, ...], count: int) -> Iterable[Array]:
    """Yield seeded noise in 0..1: white, and smoothed so that it reaches the deep layers as structure."""
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


def compare(
    graph: Graph,
    reference: Callable[[Array], list[Array]],
    images: Iterable[Array],
    source: Source,
    tolerance: float = 1.0,
) -> dict[str, Any]:
    """Return max and mean difference of each output over the images, absolute and relative to the max reference."""
    units = source.units
    worst = dict.fromkeys(units, 0.0)
    mean: dict[str, list[float]] = {name: [] for name in units}
    largest = dict.fromkeys(units, 0.0)
    for image in images:
        got = graph.run({"image": image})
        wanted = reference(image)
        wanted = wanted if source.keep is None else [wanted[index] for index in source.keep]
        for name, expected in zip(units, wanted, strict=True):
            difference = np.abs(got[name].reshape(-1).astype(np.float64) - expected.reshape(-1))
            # NaN must not count as agreement: max() would ignore it in half of the cases.
            worst[name] = max(worst[name], float(np.nan_to_num(difference, nan=np.inf).max()))
            mean[name].append(float(difference.mean()))
            largest[name] = max(largest[name], float(np.abs(expected).max()))
    return {
        name: {
            "unit": unit,
            "max_abs": _significant(worst[name]),
            "mean_abs": _significant(float(np.mean(mean[name]))),
            "max_rel": _significant(worst[name] / largest[name]),
            "threshold_abs": threshold * tolerance,
            "passed": worst[name] <= threshold * tolerance,
        }
        for name, (unit, threshold) in units.items()
    }


def parity(
    bundle: Bundle,
    sources: Mapping[str, Source],
    models: Mapping[str, bytes],
    real: Mapping[str, list[Array]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Compare each graph with LiteRT; returns the verdicts.

    Args:
        bundle: the bundle with the graphs.
        sources: sources of the graphs.
        models: the flatbuffers.
        real: inputs of every graph as the runtime feeds them; noise is added to them.
        about: origin of these inputs, for the manifest.
    """
    verdicts = {}
    backend = open_backend("cpu", BackendOptions(threads=1))  # one thread: reproducible sums and verdicts
    for name, source in sources.items():
        with backend.open(bundle.graph(name)) as graph:
            shape = graph.tensor("image").shape
            reference, noisy = (source.reference or litert)(models[name]), {}
            if source.noise_tolerance == 1.0:
                outputs = compare(graph, reference, [*real[name], *noise(shape, NOISE)], source)
            else:
                outputs = compare(graph, reference, real[name], source)
                on_noise = compare(graph, reference, noise(shape, NOISE), source, source.noise_tolerance)
                noisy = {f"{output}, on noise": item for output, item in on_noise.items()}
        verdicts[name] = {
            "passed": all(item["passed"] for item in (outputs | noisy).values()),
            "reference": f"ai-edge-litert {version('ai-edge-litert')}, built-in kernels",
            "runtime": f"onnxruntime {version('onnxruntime')}, CPU",
            "frames": len(real[name]),
            "noise": NOISE,
            "source": dict(about),
            "outputs": outputs | noisy,
        }
    return verdicts


def gate(verdicts: Mapping[str, Any], further: Mapping[str, Any]) -> None:
    """Raise BundleError unless all graphs passed: ``verdicts`` against LiteRT, ``further`` against PyTorch."""
    for name, verdict in verdicts.items():
        for output, item in verdict["outputs"].items():
            if not item["passed"]:
                raise BundleError(
                    f"parity gate: {name}.{output} differs from LiteRT by {item['max_abs']} {item['unit']}, "
                    f"more than {item['threshold_abs']}; nothing was written"
                )
    for name, verdict in further.items():
        if not verdict["passed"]:
            raise BundleError(f"parity gate: {name} differs from PyTorch: {verdict}; nothing was written")


# --------------------------------------------------------------------------------------------- bundle


def provenance(name: str, origin: str, sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return what the manifest of bundle ``name`` says of its models, which come from ``origin``."""
    files: dict[str, Any] = {}
    for graph, source in sources.items():  # of several graphs of one file, the first is named
        entry = {"path": source.path, "sha256": source.sha256, "graph": graph}
        files.setdefault(source.path.rpartition("/")[2], entry)
    tools = ("ai-edge-litert", "numpy", "onnx", "onnx-ir", "onnxruntime", "tflite")
    return {
        "source": origin,
        "authors": "The MediaPipe Authors",
        "files": files,
        "converted_by": f"humanrt-export {name}",
        "tools": {tool: version(tool) for tool in tools},
    }


def add_anchors(writer: BundleWriter, anchors: Array) -> None:
    """Add the centres [A, 2] of a detector's anchors."""
    about = "x, y of the anchors' centres, 0..1 of the square, in the order of the detector's rows"
    writer.add_arrays("anchors", {"anchors": anchors}, {"anchors": about})


@dataclass(frozen=True)
class Models:
    """Definition of a bundle of models from the wheel.

    Attributes:
        name: name of the bundle and of the command that makes it.
        task: the bundle's task.
        sources: sources by graph name.
        settings: settings of the manifest.
        anchors: [A, 2], anchors of its detector.
        licence: SPDX expression.
        more: function that adds further content to the bundle; returns its verdicts by graph.
    """

    name: str
    task: str
    sources: Mapping[str, Source]
    settings: Entries
    anchors: Array
    licence: str = "Apache-2.0"
    more: Callable[[BundleWriter], Mapping[str, Any]] | None = None

    def export(
        self, out: Path, data: Mapping[str, bytes], judge: Callable[[Bundle, Mapping[str, bytes]], dict[str, Any]]
    ) -> Path:
        """Make the bundle in ``out``; returns its path.

        Args:
            out: folder.
            data: result of `read_wheel`.
            judge: the parity gate: bundle and flatbuffers -> a verdict for each graph.

        Raises:
            HumanrtError: the parity gate failed. Nothing is written then.
        """
        with BundleWriter(
            out,
            name=self.name,
            task=self.task,
            version="1",
            licence=self.licence,
            provenance=provenance(self.name, "mediapipe 0.10.21 wheel from PyPI", self.sources),
            settings=self.settings,
        ) as writer:
            for name, source in self.sources.items():
                graph = build_graph(name, source, data[name])
                writer.add_graph(name, graph, {"image": source.image}, source.outputs, small=True)
            add_anchors(writer, self.anchors)
            writer.add_file("LICENSE", data["LICENSE"])
            further = self.more(writer) if self.more else {}
            writer.write_manifest()
            verdicts = judge(load_bundle(writer.folder, task=self.task), data)
            gate(verdicts, further)
            writer.manifest["parity"] = verdicts | dict(further)
            return writer.commit()
