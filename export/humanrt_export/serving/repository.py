"""Write a model repository of Triton Inference Server from a bundle.

Multi-HMR becomes an ensemble: preprocess (Python) -> network -> body (plain ONNX, batched by the server) -> decode
(Python).
Bundles that follow hands or people over time, and PoseBERT, become one model in Python with a sequence batcher.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from humanrt.bundle import MANIFEST, Bundle, GraphSpec
from humanrt.bundle.settings import MULTIHMR, MultiHmrSettings, people_model
from humanrt.errors import BundleError, OutputError
from humanrt.files import folders_replaced, write_atomically
from humanrt.geometry.camera import field_of_view_intrinsics
from humanrt.posebert.stream import PoseBERTStream
from humanrt.verdict.engines import sample_feeds
from humanrt_export.serving.batching import check_batch, with_batch
from humanrt_export.serving.config import Step, Tensor, ensemble, onnx_model, python_model, tensor_of

__all__ = ["ServingOptions", "Written", "write_repository"]

_MAX_PROTOBUF = 1_900_000_000  # bytes; larger graphs keep their weights in a file of their own
_SEQUENCE_IDLE = 10.0  # s
_DELAY = 2000  # us


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """How a bundle is served.

    Attributes:
        batch: most images that the server puts into one run of a network; 1: none are put together.
        device: ``cpu`` or ``gpu``, where networks run.
        sequences: how many sequences are followed at the same time.
    """

    batch: int = 8
    device: str = "cpu"
    sequences: int = 4


@dataclass
class Written:
    """What was written: the model that clients ask, all models, and notes on what is not as asked."""

    name: str
    models: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_repository(bundle: Bundle, out: Path, options: ServingOptions) -> Written:
    """Write the repository.

    Args:
        bundle: a verified bundle.
        out: folder of the repository; models of other bundles in it stay. Each model appears when all of them are
            complete, and takes the place of one of its name.
        options: see `ServingOptions`.

    Raises:
        BundleError: nothing serves bundles of this task.
        OutputError: the folder cannot be written.
    """
    writers: Mapping[str, Callable[[Bundle, Path, ServingOptions], Written]] = {
        "hands": _tracked,
        "people": _multihmr if bundle.task == "people" and people_model(bundle) == MULTIHMR else _tracked,
        "posebert": _smoothed,
    }
    if bundle.task not in writers:
        raise BundleError(f"bundle {bundle.name} is for task `{bundle.task}`; served are: {', '.join(writers)}")
    try:
        write = writers[bundle.task]
        with folders_replaced(out) as part:
            written = write(bundle, part, options)
        written.notes += _unused(options, ("sequences",) if write is _multihmr else ("batch", "device"))
        client = resources.files("humanrt_export.serving").joinpath("client.py").read_bytes()
        write_atomically(out / "client.py", client)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another --out") from None
    return written


def _unused(options: ServingOptions, names: Sequence[str]) -> list[str]:
    """Say which options were given although models of this kind have no use for them."""
    plain = ServingOptions()
    given = [name for name in names if getattr(options, name) != getattr(plain, name)]
    return [f"--{name} {getattr(options, name)} changes nothing: it is not of this kind of model" for name in given]


def _multihmr(bundle: Bundle, out: Path, options: ServingOptions) -> Written:
    settings = MultiHmrSettings.of(bundle)
    name, mesh = bundle.name, settings.topologies[0]
    written = Written(name)
    network, body = bundle.graph("network"), bundle.graph(mesh.graph)
    batched = _graph(written, out, f"{name}_network", network, options, numbers=("threshold",))
    _graph(written, out, f"{name}_body", body, options)
    shape = next(tensor.shape for tensor in network.inputs if tensor.name == "image")
    frame = [Tensor("frame", "uint8", (-1, -1, 3)), Tensor("intrinsics", "float32", (3, 3))]
    cameras = Tensor("camera", "float32", (shape[0], 3, 3))
    prepared = [Tensor("image", "float32", shape), cameras, Tensor("frame_size", "int32", (2,))]
    assumed = field_of_view_intrinsics(settings.input_size, settings.field_of_view, settings.principal_point)
    about = {
        "shape": shape,
        "mean": settings.mean,
        "std": settings.std,
        "resize": settings.resize,
        "camera": (np.zeros((3, 3)) if settings.estimated else assumed).tolist(),
    }
    text = python_model(f"{name}_preprocess", frame, prepared)
    _python(written, out, f"{name}_preprocess", text, "preprocess", about)
    found = [tensor_of(tensor) for tensor in network.outputs]
    meshes = [tensor_of(tensor) for tensor in body.outputs]
    given = Tensor("given_camera", "float32", (shape[0], 3, 3))
    results = _people_tensors(network, body)
    about = {"size": settings.input_size, "names": [tensor.name for tensor in found]}
    text = python_model(f"{name}_decode", [*found, *meshes, given, prepared[2]], results)
    _python(written, out, f"{name}_decode", text, "decode", about)
    same = {tensor.name: tensor.name for tensor in (*frame, *prepared)}
    raw = {tensor.name: f"network_{tensor.name}" for tensor in found}
    shapes = {tensor.name: f"body_{tensor.name}" for tensor in meshes}
    steps = [
        Step(f"{name}_preprocess", {t.name: t.name for t in frame}, {t.name: same[t.name] for t in prepared}),
        Step(f"{name}_network", {"image": "image", "intrinsics": "camera", "threshold": "threshold"}, raw),
        Step(f"{name}_body", {t.name: raw[t.name] for t in body.inputs}, shapes),
        Step(
            f"{name}_decode",
            {**raw, **shapes, "given_camera": "camera", "frame_size": "frame_size"},
            {tensor.name: tensor.name for tensor in results},
        ),
    ]
    threshold = Tensor("threshold", "float32", (1, 1) if batched else (1,))
    _model(written, out, name, ensemble(name, [*frame, threshold], results, steps))
    (out / name / "1").mkdir(exist_ok=True)  # the server wants a version, though an ensemble has no file
    return written


def _people_tensors(network: GraphSpec, body: GraphSpec) -> list[Tensor]:
    """Return the ensemble's outputs: as `humanrt.people.results.People` has them."""
    sizes = {tensor.name: tensor.shape[2:] for tensor in (*network.outputs, *body.outputs)}
    expression = sizes.get("expression", (0,))
    several = {
        "scores": (),
        "locations": (2,),
        "translations": (3,),
        "rotations": sizes["rotations"],
        "shape": sizes["shape"],
        "expression": (-1,) if expression == (0,) else expression,
        "vertices": sizes["vertices"],
        "joints": sizes["joints"],
        "joints_2d": (*sizes["joints"][:1], 2),
    }
    return [Tensor(name, "float32", (-1, *size)) for name, size in several.items()] + [
        Tensor("intrinsics", "float32", (3, 3))
    ]


def _tracked(bundle: Bundle, out: Path, options: ServingOptions) -> Written:
    """Frames of a sequence -> lines of a recording."""
    inputs = [Tensor("frame", "uint8", (-1, -1, 3)), Tensor("t", "float64", (1,))]
    return _sequences(bundle, out, "track", inputs, [Tensor("record", "object", (1,))], options)


def _smoothed(bundle: Bundle, out: Path, options: ServingOptions) -> Written:
    """Keypoints of a sequence -> smoothed keypoints and rotations."""
    with PoseBERTStream(bundle, threads=1) as stream:
        count, joints = stream.points, len(stream.joints)
    if not count:
        raise BundleError(f"bundle {bundle.name} takes rotations; served are bundles of PoseBERT that take keypoints")
    points = Tensor("keypoints", "float32", (-1, count, 3))
    ids = Tensor("ids", "int64", (-1,))
    inputs = [
        ids,
        points,
        Tensor("confidence", "float32", (-1,)),
        Tensor("left", "bool", (-1,)),
        Tensor("t", "float64", (1,)),
    ]
    rotations = Tensor("rotations", "float32", (-1, joints, 3, 3))
    return _sequences(bundle, out, "smooth", inputs, [ids, points, rotations, Tensor("filled", "bool", (-1,))], options)


def _sequences(
    bundle: Bundle, out: Path, model: str, inputs: list[Tensor], outputs: list[Tensor], options: ServingOptions
) -> Written:
    written = Written(bundle.name)
    text = python_model(bundle.name, inputs, outputs, instances=options.sequences, sequence_idle_s=_SEQUENCE_IDLE)
    _python(written, out, bundle.name, text, model, {"task": bundle.task})
    folder = out / bundle.name / "1" / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in (MANIFEST, *bundle.manifest["files"]):
        shutil.copyfile(bundle.path / name, folder / name)
    return written


def _graph(
    written: Written, out: Path, name: str, graph: GraphSpec, options: ServingOptions, numbers: tuple[str, ...] = ()
) -> bool:
    """Write an ONNX model; returns whether the server may put several images into one run."""
    source = graph.source
    data = source if isinstance(source, bytes) else source.read_bytes()
    batched = False
    first = graph.inputs[0].shape[0]
    if options.batch > 1 and first == 1:
        try:
            changed = with_batch(onnx.ModelProto.FromString(data)).SerializeToString()
            check_batch(data, changed, _feeds(graph))
            data, batched = changed, True
        except BundleError as error:
            written.notes.append(f"{name}: one image a run, as the graph's batch is fixed ({error})")
    elif options.batch > 1:
        written.notes.append(f"{name}: the bundle has {first} images a run; export one with --batch 1 to let it vary")
    tensors = {}
    for kind, specs in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        tensors[kind] = [tensor_of(spec) for spec in specs]
        if batched:
            tensors[kind] = [
                Tensor(t.name, t.dtype, t.dims if t.name in numbers else t.dims[1:]) for t in tensors[kind]
            ]
    text = onnx_model(name, **tensors, batch=options.batch if batched else 0, device=options.device, delay_us=_DELAY)
    _model(written, out, name, text)
    folder = out / name / "1"
    folder.mkdir(exist_ok=True)
    if len(data) < _MAX_PROTOBUF:
        (folder / "model.onnx").write_bytes(data)
    else:
        model = onnx.ModelProto.FromString(data)
        onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.bin")
    return batched


def _feeds(graph: GraphSpec) -> dict[str, Any]:
    """Return inputs that fill all slots: every score is high enough."""
    (feeds,) = sample_feeds(graph, 1)
    return {name: np.zeros_like(value) if np.size(value) == 1 else value for name, value in feeds.items()}


def _python(written: Written, out: Path, name: str, text: str, model: str, settings: Mapping[str, Any]) -> None:
    _model(written, out, name, text)
    folder = out / name / "1"
    folder.mkdir(exist_ok=True)
    code = resources.files("humanrt_export.serving.models").joinpath(f"{model}.py").read_text(encoding="utf-8")
    (folder / "model.py").write_text(code, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _model(written: Written, out: Path, name: str, text: str) -> None:
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "config.pbtxt").write_text(text, encoding="utf-8")
    written.models.append(name)
