"""``humanrt-export multihmr --body anny`` of NAVER's own checkpoint: the published Multi-HMR on Anny -> a bundle.

Graphs and tensors are those of our own networks on Anny (`export`). What differs is in the settings: rotations are
those of 75 bones in Anny's `local-bone` convention, the shape has 11 numbers, joints are the heads of the rig's 163
bones, and 60 degrees are assumed for an unknown camera, as in the authors' demo.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humanrt.geometry.letterbox import PILLOW
from humanrt_export.bodies.anny.bones import ROOT
from humanrt_export.bodies.anny.model import ANNY_VERSION, PublishedRig, load_published_rig
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.bodies.anny.published import PublishedBody
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.multihmr_anny import (
    ATTRIBUTION,
    BODY_LICENCE,
    AnnyOptions,
    Parts,
    anny_texts,
    topologies_of,
    write_people,
)
from humanrt_export.conversion.multihmr_anny_published_checkpoint import load_published
from humanrt_export.conversion.multihmr_graphs import BodyAbout, check_sizes, short_name, window_of
from humanrt_export.networks.multihmr_anny_published import SHAPE

__all__ = ["export_published"]

_LICENCE = f"LicenseRef-NAVER-Multi-HMR-Anny AND {BODY_LICENCE}"
_LICENCE_NOTE = """\
This bundle was made from a checkpoint that its user downloaded, and stays under its licence: NAVER's for Multi-HMR on
Anny (Checkpoint_License_Anny.txt; https://github.com/naver/multi-hmr). Do not pass it on unless that allows it.
The body model is free: see NOTICE.txt. humanrt, which reads the bundle, is under Apache-2.0.
"""
_ANCHOR = "head"


def export_published(
    checkpoint: str | Path,
    out: str | Path,
    options: AnnyOptions | None = None,
    *,
    content: Mapping[str, Any] | None = None,
) -> Path:
    """Make a bundle of NAVER's checkpoint; see `multihmr_anny.export_anny` for arguments, result and errors."""
    options = options or AnnyOptions()
    path = Path(checkpoint)
    model = load_published(path, content)
    window = window_of(model.config, options.aspect)
    check_sizes(window, options.max_people, options.batch)
    rig = load_published_rig()
    body = PublishedBody(rig, model.config.turning, _ANCHOR).eval()
    config = model.config
    options.report(f"read {path.name}: NAVER's Multi-HMR on Anny, {config.backbone}, {config.image_size} px")
    parts = Parts(
        model=model,
        bodies={"full": body},
        faces={"full": rig.faces},
        name=options.name or f"multihmr-anny-naver-{short_name(model.config, window)}",
        licence=_LICENCE,
        provenance={
            "source": "NAVER's checkpoint of Multi-HMR on Anny, of the user's",
            "authors": "Baradel et al., Bregier et al., NAVER LABS Europe",
            "weights": dict(options.more_about),
            "body": {
                "model": "Anny",
                "version": f"{ANNY_VERSION}, with the skinning weights of 0.2.0 to 0.3.1",
                "licence": BODY_LICENCE,
                "attribution": ATTRIBUTION,
            },
            "files": {path.name: {"sha256": sha256(path)}},
        },
        notices={"NOTICE.txt": ATTRIBUTION, "LICENCE-NOTE.txt": _LICENCE_NOTE},
        resize=PILLOW,
        body=_body(rig, body),
        texts={
            **anny_texts(model.config, window, _ANCHOR),
            "shape": "settings.body.phenotypes, each in 0..1; only the first six change the body",
        },
    )
    return write_people(parts, out, options)


def _body(rig: PublishedRig, body: PublishedBody) -> BodyAbout:
    meanings = {phenotype.name: phenotype.meaning for phenotype in PHENOTYPES}
    notes = {
        "version": ANNY_VERSION,
        "rotations": len(body.bones),
        "parents": list(body.parents),
        "rotation_convention": (
            "Anny's `local-bone`. root: from Anny's frame (x to the person's left, y backwards, z up) to the "
            "camera's; others: against the parent in `parents`, in the axes U of the bone itself at rest: the turn of "
            "a bone in Anny's frame is X = X_parent U D U^T. U is the least rotation from +y to the bone, after a "
            "constant roll about y, so it depends on the shape. The rig's other bones do not turn"
        ),
        "phenotypes": [
            {"name": name, "low": 0.0, "high": 1.0, "meaning": meanings.get(name, "does not change the body")}
            for name in SHAPE
        ],
        "num_expressions": 0,
        "joint_parents": rig.parents.tolist(),
        "pelvis_joint": rig.names.index(ROOT),
        "head_joint": rig.names.index(_ANCHOR),
    }
    meshes = topologies_of({"full": int(rig.faces.max()) + 1}, len(rig.names))
    return BodyAbout("Anny", body.bones, rig.names, meshes, named=True, estimated=False, notes=notes)
