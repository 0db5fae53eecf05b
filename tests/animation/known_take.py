"""A recording of two people of known motion: the second comes later, and is missed in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt import __version__
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.outputs.record import Recorder
from humanrt.people.rig import BodyRig

FRAMES = 40
FPS = 25.0


@dataclass(frozen=True)
class Known:
    """A recording, and what is true of it.

    Attributes:
        path: the recording.
        times: by identity, [F] s.
        vertices: by identity, [F, V, 3] m, camera space.
        joints: by identity, [F, J, 3] m, likewise.
        expression: by identity, [F, E].
    """

    path: Path
    times: Mapping[int, NDArray[np.float64]]
    vertices: Mapping[int, NDArray[np.float32]]
    joints: Mapping[int, NDArray[np.float32]]
    expression: Mapping[int, NDArray[np.float64]]


def record(rig: BodyRig, path: Path, bundle: str, wobble: float = 0.0, *, natural: bool = False) -> Known:
    """Record two people.

    Args:
        rig: their body.
        path: the recording.
        bundle: the bundle that it names.
        wobble: by how much their shape differs from frame to frame.
        natural: Anny's bones turn as a body with SMPL's joints turns them; otherwise each on its own.
    """
    rng = np.random.default_rng(5)
    header = {
        "humanrt": __version__,
        "task": "people",
        "robots": {},
        "bundle": {"name": bundle, "version": "1"},
        "bones": list(rig.bones),
        "parents": list(rig.parents),
        "joints": list(rig.joint_names),
        "expression_units": list(rig.expression_units),
        "fps": FPS,
    }
    present = {1: range(FRAMES), 2: [k for k in range(10, FRAMES) if not 15 <= k < 30]}
    swings = {id: rng.normal(0, 0.35, (2, 24 if natural else len(rig.bones), 3)) for id in present}
    units = len(rig.expression_units)
    found: dict[int, list[tuple[float, NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]]] = {1: [], 2: []}
    with Recorder(path, header) as recorder:
        for k in range(FRAMES):
            people = []
            for id, frames in present.items():
                if k not in frames:
                    continue
                phase = 2 * np.pi * k / FRAMES
                vectors = swings[id][0] * np.sin(phase) + swings[id][1] * np.cos(phase)
                if natural:
                    vectors[20:] = 0.0  # the wrists' twist is the forearms', in part
                    vectors = vectors_from_matrices(anny_from_smpl(matrices_from_vectors(vectors)))
                vectors[0] = (1.3 + 0.2 * np.sin(phase), 0.1, 0.1 * id)  # upright, before the camera
                shape = rig.default_shape + 0.1 * (id - 1) + wobble * rng.normal(0, 1, len(rig.default_shape))
                expression = rng.uniform(0, 1, units)
                vertices, joints = rig.pose(shape, matrices_from_vectors(vectors), expression)
                move = np.array([id - 1.5, 0.02 * k, 3.0 + 0.01 * k], np.float32)
                found[id].append((k / FPS, vertices + move, joints + move, expression))
                people.append(
                    {
                        "id": id,
                        "score": 0.9,
                        "head_2d": [10.0, 20.0],
                        "translation": move,
                        "rotations": vectors,
                        "shape": shape,
                        "expression": expression,
                        "joints_3d": joints + move,
                        **({"filled": True, "score": 0.0} if k == 12 else {}),
                    }
                )
            recorder.write(
                {"frame": k, "t": k / FPS, "size": [640, 480], "hands": [], "people": people, "ms": {"total": 1.0}}
            )
    columns = {id: [np.array(column) for column in zip(*rows, strict=True)] for id, rows in found.items()}
    return Known(path, *({id: column[k] for id, column in columns.items()} for k in range(4)))
