"""Reads damaged files one after the other and says how each ended: ``python fuzz_worker.py TARGET SEED COUNT FOLDER``.

A process of its own, whose memory and time are watched: what it may take is MEMORY above what its imports take, and
SECONDS a file. One JSON line a file that ended in anything but a result or a refusal in one short line; then a summary.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "retarget"), str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
from mutations import (  # noqa: E402
    junk,
    mutated_bytes,
    mutated_json,
    mutated_text,
    mutated_tree,
    mutated_zip,
)

from humanrt.errors import HumanrtError  # noqa: E402
from humanrt.stats import peak_memory  # noqa: E402

MEMORY = 1 << 30
SECONDS = 30
MAX_LENGTH = 1000
"""Letters of a refusal, paths included."""

Read = Callable[[random.Random], object]


def manifests(folder: Path) -> Read:
    """The pipeline of each shipped bundle with its manifest damaged, opened and shown a picture."""
    from humanrt import HandTracker, MultiHMR, PoseBERT, load_bundle
    from humanrt.bundle import shipped_bundles
    from humanrt.people.landmark_people import LandmarkPeople
    from humanrt.posebert.stream import PoseBERTStream
    from humanrt.verdict.limits import limits_of

    picture = np.zeros((90, 160, 3), np.uint8)
    bundles = {name: load_bundle(name) for name in shipped_bundles()}
    for name, bundle in bundles.items():
        (folder / name).mkdir()
        for file in bundle.path.iterdir():
            if file.name != "manifest.json":
                (folder / name / file.name).symlink_to(file)

    def read(rng: random.Random) -> None:
        name = rng.choice(list(bundles))
        manifest = dict(bundles[name].manifest)
        part = rng.choice(("settings", "settings", "graphs", "all"))
        content = (
            mutated_json(rng, manifest)
            if part == "all"
            else json.dumps({**manifest, part: mutated_tree(rng, manifest[part])}).encode()
        )
        (folder / name / "manifest.json").write_bytes(content)
        bundle = load_bundle(folder / name)
        limits_of(bundle, "int8")
        if bundle.task == "hands":
            with HandTracker(bundle, threads=1) as hands:
                hands(picture, 0.0)
        elif bundle.task == "people" and name == "landmarks":
            with LandmarkPeople(bundle, None, threads=1) as people:
                people(picture)
        elif bundle.task == "people":
            with MultiHMR(bundle, threads=1) as network:
                network(picture)
        elif bundle.task == "posebert":
            with PoseBERT(bundle, threads=1) as poses, PoseBERTStream(bundle) as stream:
                frame = np.ones(stream.frame)
                stream.update(0.0, {1: (frame,)})
                poses.window(keypoints=np.ones((2, *stream.frame)))

    return read


def descriptions(folder: Path) -> Read:
    """Hand descriptions (JSON of ours), as a robot."""
    from humanrt import Retargeter
    from humanrt.retarget import description

    files = sorted((Path(description.__file__).parent / "robots").glob("*.json"))
    trees = [json.loads(file.read_text()) for file in files]
    file = folder / "hand.json"
    points = np.random.default_rng(0).normal(0, 0.03, (21, 3))

    def read(rng: random.Random) -> None:
        file.write_bytes(mutated_json(rng, rng.choice(trees)))
        robot = Retargeter(file)
        assert np.isfinite(robot.solve(points)).all(), "not a finite pose"

    return read


def urdfs(folder: Path) -> Read:
    """A URDF, and the file that names its fingertips."""
    import test_hands

    from humanrt import Retargeter

    points = np.random.default_rng(0).normal(0, 0.03, (21, 3))
    hints = dict(test_hands.HINTS)

    def read(rng: random.Random) -> None:
        file = test_hands.write(folder, test_hands.URDF)
        urdf = next(path for path in file.parent.iterdir() if path.suffix == ".urdf")
        if rng.random() < 0.3:
            given = json.loads(file.read_text())
            file.write_bytes(mutated_json(rng, given if isinstance(given, dict) else hints))
        else:
            urdf.write_bytes(rng.choice(BOMBS) if rng.random() < 0.05 else mutated_text(rng, test_hands.URDF))
        robot = Retargeter(file)
        assert np.isfinite(robot.solve(points)).all(), "not a finite pose"

    return read


_LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
BOMBS = (
    f'<!DOCTYPE robot [<!ENTITY l0 "ha">{_LAUGHS}]><robot name="&l9;"/>'.encode(),
    b'<!DOCTYPE robot [<!ENTITY x SYSTEM "file:///etc/passwd">]><robot name="x">&x;</robot>',
    b"<robot>" + b"<link>" * 200_000,
)


def recordings(folder: Path) -> Read:
    """Recordings, and reports of `humanrt bench`."""
    from humanrt.outputs.record import read_recording
    from humanrt.stats import read_report

    header = {"humanrt": "1", "robots": {"allegro_right": ["a", "b"]}}
    frame = {
        "frame": 0,
        "t": 0.1,
        "size": [640, 480],
        "hands": [{"id": 1, "keypoints_2d": [[1.0, 2.0]] * 21}],
        "people": [],
    }
    report = {"bench": "hands", "stages": {"total": {"p50": 1.0, "p95": 2.0}}}

    def read(rng: random.Random) -> None:
        if rng.random() < 0.3:
            (folder / "report.json").write_bytes(mutated_json(rng, report))
            read_report(folder / "report.json")
            return
        lines = [header, frame, frame]
        which = rng.randrange(3)
        content = [mutated_json(rng, line) if i == which else json.dumps(line).encode() for i, line in enumerate(lines)]
        data = b"\n".join(content) + b"\n"
        (folder / "r.jsonl").write_bytes(mutated_bytes(rng, data) if rng.random() < 0.2 else data)
        for _ in read_recording(folder / "r.jsonl"):
            pass

    return read


def checkpoints(folder: Path) -> Read:
    """Checkpoints of Multi-HMR (published, on Anny) and PoseBERT (published, of a training), and body models."""
    import torch

    from humanrt_export.bodies.smplx import load_smplx
    from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint as load_multihmr
    from humanrt_export.conversion.posebert_checkpoint import load_checkpoint as load_posebert
    from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, save_checkpoint
    from humanrt_export.networks.multihmr_anny import load_checkpoint as load_anny

    torch.set_num_threads(1)
    small = AnnyConfig(backbone="vitn14", image_size=28, width=32, depth=1, heads=1, mlp=32)
    made = torch.load(save_checkpoint(folder / "anny.pt", AnnyHmr(small)), weights_only=True)
    args = {
        "backbone": "dinov2_vits14",
        "img_size": [448],
        "num_betas": 10,
        "camera_embedding": "geometric",
        "lr": 1e-4,
    }
    state = {f"module.backbone.x.{i}": torch.zeros(2, 3) for i in range(4)}
    published = {"args": args, "model_state_dict": state, "epoch": 3}
    body = {
        "v_template": np.zeros((4, 3)), "shapedirs": np.zeros((4, 3, 20)), "posedirs": np.zeros((4, 3, 486)),
        "J_regressor": np.zeros((55, 4)), "weights": np.zeros((4, 55)), "f": np.zeros((2, 3), np.int64),
        "kintree_table": np.zeros((2, 55), np.int64),
    }  # fmt: skip

    def value(rng: random.Random) -> Any:
        return rng.choice((junk, lambda _: torch.full((2, 2), float("nan")), lambda _: np.float64(1e308)))(rng)

    def write(rng: random.Random, content: dict[str, Any]) -> Path:
        path = folder / "file.pt"
        if rng.random() < 0.5:
            with contextlib.suppress(Exception):  # what torch cannot write is no file
                torch.save(mutated_tree(rng, content, value), path, _use_new_zipfile_serialization=rng.random() < 0.8)
                return path
        torch.save(content, path)
        path.write_bytes(mutated_zip(rng, path.read_bytes()))
        return path

    def read(rng: random.Random) -> None:
        way = rng.randrange(5)
        if way == 0:
            path = folder / "SMPLX_NEUTRAL.npz"
            arrays = dict(body)
            key = rng.choice(list(arrays))
            arrays[key] = rng.choice(
                (arrays[key] * np.nan, arrays[key][:0], arrays[key][..., :1], np.array("x"), np.zeros((2, 2, 2)))
            )
            np.savez(path, **arrays)
            if rng.random() < 0.5:
                path.write_bytes(mutated_zip(rng, path.read_bytes()))
            load_smplx(path)
        elif way == 1:
            load_multihmr(write(rng, published))
        elif way == 2:
            load_posebert(write(rng, {"model_state_dict": state, "args": args}))
        else:
            load_anny(write(rng, dict(made)))

    return read


def motions(folder: Path) -> Read:
    """BVH, ASF and AMC, AMASS's .npz, and archives of them."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "export" / "motion"))
    import test_readers as good

    from humanrt_export.motion.load import load_motions

    stream = io.BytesIO()
    np.savez(stream, poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), mocap_framerate=np.array(60.0))
    amass = stream.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("01/01.asf", good.ASF)
        archive.writestr("01/01_01.amc", good.AMC)
        archive.writestr("walk.bvh", good.BVH)
    packed = stream.getvalue()

    def tarred(rng: random.Random) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=rng.choice(("w", "w:gz", "w:xz"))) as archive:
            for name, text in (("01/01.asf", good.ASF), ("01/01_01.amc", good.AMC)):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return mutated_bytes(rng, out.getvalue())

    def read(rng: random.Random) -> None:
        for old in (folder / "m").glob("*") if (folder / "m").exists() else ():
            old.unlink()
        (folder / "m").mkdir(exist_ok=True)
        way = rng.randrange(6)
        path = folder / "m"
        if way == 0:
            (path / "01.asf").write_bytes(mutated_text(rng, good.ASF))
            (path / "01_01.amc").write_text(good.AMC)
        elif way == 1:
            (path / "01.asf").write_text(good.ASF)
            (path / "01_01.amc").write_bytes(mutated_text(rng, good.AMC))
        elif way == 2:
            (path / "walk.bvh").write_bytes(mutated_text(rng, good.BVH))
        elif way == 3:
            (path / "walk.npz").write_bytes(mutated_zip(rng, amass))
        elif way == 4:
            (path := path / "all.zip").write_bytes(mutated_zip(rng, packed))
        else:
            (path := path / "all.tar.gz").write_bytes(tarred(rng))
        for motion in load_motions(path):
            assert np.isfinite(motion.rotations).all(), "not finite"

    return read


TARGETS: dict[str, Callable[[Path], Read]] = {
    "manifests": manifests, "descriptions": descriptions, "urdfs": urdfs, "recordings": recordings,
    "checkpoints": checkpoints, "motions": motions,
}  # fmt: skip


def outcome(read: Read, rng: random.Random) -> str | None:
    """None for a result or a proper refusal; else what happened instead."""
    try:
        read(rng)
    except HumanrtError as error:
        text = str(error)
        if "\n" in text or "\r" in text:
            return f"a refusal of several lines: {text[:300]!r}"
        return f"a refusal of {len(text)} letters: {text[:200]!r}" if len(text) > MAX_LENGTH else None
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:200]}"
    return None


def numbered(count: int, seed: int) -> Iterator[tuple[int, random.Random]]:
    for index in range(count):
        yield index, random.Random(f"{seed}-{index}")


def report(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    target, seed, count, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    only = int(sys.argv[5]) if len(sys.argv) > 5 else None
    warnings.simplefilter("ignore")
    read = TARGETS[target](folder)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    wrong, slowest = 0, 0.0
    for index, rng in numbered(count, seed):
        if only is not None and index != only:
            continue
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        begin = time.perf_counter()
        if (what := outcome(read, rng)) is not None:
            wrong += 1
            report({"index": index, "what": what})
        slowest = max(slowest, time.perf_counter() - begin)
        faulthandler.cancel_dump_traceback_later()
    peak = peak_memory() or 0
    report({"done": count, "wrong": wrong, "slowest_s": round(slowest, 2), "peak_mb": round(peak / 1e6)})
    shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
