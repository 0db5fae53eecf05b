"""Verdicts: distances of known size, detections that come and go, limits of the bundle, and who may be opened."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.backends import Array, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.data import CLIP
from humanrt.errors import BackendError, BundleError, SourceError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.hands.tracker import HandTracker
from humanrt.inference.variants import at, base_of, bases
from humanrt.native.processor import int8_products
from humanrt.posebert.model import PoseBERT
from humanrt.verdict import Case, case_of, compare, judge, limits_of, record
from humanrt.verdict.recording import _Kept


@pytest.fixture(scope="module")
def hands() -> Bundle:
    return load_bundle("hands")


def hand(presence: float, shift: float = 0.0) -> dict[str, Array]:
    """Outputs of the landmark network: a hand whose points are all moved along x, by px and by mm."""
    pixels, metres = np.ones((1, 21, 3), np.float32), np.ones((1, 21, 3), np.float32)
    pixels[..., 0] += shift
    metres[..., 0] += shift / 1e3
    return {
        "keypoints_2d": pixels,
        "keypoints_3d": metres,
        "presence": np.full((1, 1), presence, np.float32),
        "handedness": np.zeros((1, 1), np.float32),
    }


def case(
    bundle: Bundle, graph: str, references: Sequence[Mapping[str, Array]], outputs: Sequence[Mapping[str, Array]]
) -> Case:
    return Case(bundle, bundle.graph(graph), [{}] * len(outputs), references, outputs)


def test_distances_are_in_mm_and_px_of_the_hands_that_are_there(hands: Bundle) -> None:
    references = [hand(0.9), hand(0.9), hand(0.1), hand(0.1)]
    comparison = compare(
        case(hands, "landmarks_full", references, [hand(0.9, 2), hand(0.1, 4), hand(0.9, 99), hand(0.1)])
    )
    assert comparison.detections is not None
    assert comparison.detections.__dict__ == {"reference": 2, "gained": 1, "lost": 1}
    assert {name: distances.unit for name, distances in comparison.distances.items()} == {
        "keypoints_2d": "px",
        "keypoints_3d": "mm",
    }
    for distances in comparison.distances.values():  # the hand that was lost counts too, the one that was gained not
        np.testing.assert_allclose(distances.values, [2.0] * 21 + [4.0] * 21, rtol=1e-3)


def test_a_verdict_says_what_was_too_far(hands: Bundle) -> None:
    good = judge(case(hands, "landmarks_full", [hand(0.9)] * 4, [hand(0.9, 0.4)] * 4), "fp16", graph_sha256="x")
    assert good["passed"], good
    assert good["distances"]["keypoints_3d"]["mean"] == pytest.approx(0.4, rel=1e-3)
    assert (good["frames"], good["graph_sha256"], good["finite"]) == (4, "x", True)
    far = judge(case(hands, "landmarks_full", [hand(0.9)] * 4, [hand(0.9, 0.6)] * 4), "fp16")
    assert (far["passed"], far["reason"]) == (False, "keypoints_2d: mean 0.6 px (limit 0.5)")
    assert judge(case(hands, "landmarks_full", [hand(0.9)] * 4, [hand(0.9, 0.6)] * 4), "int8")["passed"]
    gone = judge(case(hands, "landmarks_full", [hand(0.9)] * 4, [hand(0.9)] * 3 + [hand(0.1)]), "fp16")
    assert gone["reason"] == "0 gained and 1 lost of 4 detections (limit 1%)"
    nan = judge(case(hands, "landmarks_full", [hand(0.9)], [hand(0.9, np.nan)]), "fp16")
    assert (nan["passed"], nan["finite"]) == (False, False)
    assert nan["reason"] == "keypoints_2d is not finite"
    json.dumps(nan, allow_nan=False)


def test_where_nothing_is_detected_the_numbers_are_compared(hands: Bundle) -> None:
    comparison = compare(case(hands, "landmarks_full", [hand(0.1)], [hand(0.1, 1)]))
    assert comparison.distances["keypoints_3d"].unit == "raw mm"
    assert comparison.distances["keypoints_3d"].values.max() == pytest.approx(1, rel=1e-3)
    far = judge(case(hands, "landmarks_full", [hand(0.1)], [hand(0.1, 2)]), "fp16")
    assert far["reason"] == "keypoints_2d: max 2 raw px (limit 1)"


def test_angles_of_poses_are_exact_down_to_nothing() -> None:
    bundle = load_bundle("posebert-hand")
    shape = bundle.graph("posebert_b1").outputs[0].shape
    for degrees in (0.0, 1e-3, 30.0, 179.0):
        turned = matrices_from_vectors(np.broadcast_to((np.radians(degrees), 0, 0), (*shape[:3], 3)))
        still = {"rotations": np.broadcast_to(np.eye(3), shape), "smoothed": np.zeros((1, 40, 21, 3))}
        comparison = compare(case(bundle, "posebert_b1", [still], [{**still, "rotations": turned}]))
        np.testing.assert_allclose(comparison.distances["rotations"].values, degrees, rtol=1e-6, atol=1e-6)


def test_poses_before_anything_was_seen_do_not_count() -> None:
    bundle = load_bundle("posebert-hand")
    shape = bundle.graph("posebert_b1").outputs[0].shape
    mask = np.zeros((1, 40), bool)
    mask[0, [10, 11, 30]] = True
    still = {"rotations": np.broadcast_to(np.eye(3), shape).copy(), "smoothed": np.zeros((1, 40, 21, 3))}
    for place, counts in ((9, False), (10, True), (20, True), (30, True), (31, False)):
        moved = {name: value.copy() for name, value in still.items()}
        moved["smoothed"][:, place] = 1.0
        made = Case(bundle, bundle.graph("posebert_b1"), [{"mask": mask}], [still], [moved])
        values = compare(made).distances["keypoints"].values
        assert len(values) == 21 * 21
        assert bool(values.any()) is counts


def test_limits_are_the_bundles_own(hands: Bundle) -> None:
    def with_limits(value: Any) -> Bundle:
        manifest = {**hands.manifest, "settings": {**hands.settings, "verdict_limits": value}}
        return replace(hands, manifest=manifest)

    own = with_limits({"fp16": {"keypoints_2d": {"mean": 9}, "mm": {"p99": 9}, "detections": 1}})
    far = case(own, "landmarks_full", [hand(0.9)] * 4, [hand(0.9, 5)] * 3 + [hand(0.1)])
    assert judge(far, "fp16")["passed"]
    assert not judge(far, "int8")["passed"]
    for bad in ([], {"fp16": 1}, {"fp16": {"px": {"median": 1}}}, {"fp16": {"px": -1}}, {"fp16": {"px": "1"}}):
        with pytest.raises(BundleError, match=r"manifest\.json.*verdict_limits"):
            limits_of(with_limits(bad), "fp16")
    with pytest.raises(BundleError, match="known: bf16x3, fp16, fp32, int16, int8"):
        limits_of(hands, "fp8")


def test_a_recording_is_what_reaches_the_networks(hands: Bundle) -> None:
    told = []
    made = record(
        hands, str(CLIP), max_inputs=6, max_frames=20, progress=lambda done, total: told.append((done, total))
    )
    assert (made.source, made.frames, told[-1]) == ("demo_hand.mp4", 20, (20, 20))
    assert set(made.feeds) == {"palm_detector", "landmarks_full", "landmarks_lite"}
    assert 3 <= len(made.feeds["landmarks_full"]) <= 6
    with open_backend("cpu") as cpu, cpu.open(hands.graph("landmarks_full")) as graph:
        same = case_of(hands, "landmarks_full", made.feeds["landmarks_full"], graph.run)
        assert all(feed["image"].shape == (1, 3, 224, 224) for feed in same.feeds)
        assert min(r["presence"].item() for r in same.references) > 0.5  # crops of hands, not whole frames
        verdict = judge(same, "fp32")
    assert verdict["passed"]
    assert verdict["distances"]["keypoints_3d"]["max"] == 0


def test_a_recording_of_nothing_is_refused(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(SourceError, match="none of its 1 frames shows what bundle posebert-hand detects"):
        record(load_bundle("posebert-hand"), str(tmp_path / "black.png"))


def test_windows_are_put_together_for_graphs_of_several() -> None:
    feeds = record(load_bundle("posebert-hand"), str(CLIP), max_frames=24).feeds
    assert feeds["posebert_b10"][0]["keypoints"].shape[0] == 10
    np.testing.assert_array_equal(feeds["posebert_b10"][0]["keypoints"][3], feeds["posebert_b1"][3]["keypoints"][0])


def test_what_is_kept_is_evenly_spaced() -> None:
    kept = _Kept(8)
    for index in range(100):
        kept.offer(lambda index=index: {"x": np.array(index)})  # type: ignore[misc]
    places = [int(feed["x"]) for feed in kept.feeds]
    assert 4 <= len(places) <= 8
    assert set(np.diff(places)) == {places[1]}


@pytest.fixture
def copied(tmp_path: Path, hands: Bundle) -> Callable[..., Bundle]:
    """A copy of the bundle `hands` in which `landmarks_full-int8-cpu`, the same file, is INT8 on the CPU."""

    def make(verdict: Any = None) -> Bundle:
        folder = tmp_path / "hands"
        if not folder.exists():
            shutil.copytree(hands.path, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        name = "landmarks_full-int8-cpu"
        original = manifest["graphs"]["landmarks_full"]["file"]
        file = original.replace("landmarks_full", name)
        shutil.copy(folder / original, folder / file)
        manifest["graphs"][name] = {**manifest["graphs"]["landmarks_full"], "file": file}
        manifest["files"][file] = manifest["files"][original]
        manifest["settings"]["variants"] = [
            {"of": "landmarks_full", "graph": name, "precision": "int8", "backend": "cpu"}
        ]
        if verdict is not None:
            manifest["verdicts"] = {name: verdict}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return load_bundle(folder)

    return make


def test_only_a_passing_verdict_of_this_very_file_opens_a_variant(copied: Callable[..., Bundle]) -> None:
    cpu, careless = open_backend("cpu"), open_backend("cpu", BackendOptions(unverified=True))
    digest = hashlib.sha256(copied().graph("landmarks_full").path.read_bytes()).hexdigest()
    for verdict, reason in (
        (None, "has no verdict: nobody knows its error"),
        ("yes", "has a verdict of another file"),
        ({"passed": True}, "has a verdict of another file"),
        ({"passed": True, "graph_sha256": "0" * 64}, "has a verdict of another file"),
        ({"passed": False, "reason": "too far", "graph_sha256": digest}, "failed its verdict: too far"),
        ({"graph_sha256": digest}, "failed its verdict: see its entry"),
    ):
        bundle = copied(verdict)
        with pytest.raises(BackendError, match=reason) as refusal:
            HandTracker(bundle, cpu, precision="int8")
        assert "\n" not in str(refusal.value)
        assert "--unverified" in str(refusal.value)
        assert at(bundle, careless, "int8").graph("landmarks_full").name == "landmarks_full-int8-cpu"
        assert at(bundle, cpu).graph("landmarks_full").name == "landmarks_full"
    other = {"exact": "saturating", "saturating": "exact"}[int8_products()]
    for products, reason in (({}, "of an unknown kind"), ({"int8_products": other}, f"are {other}; here")):
        with pytest.raises(BackendError, match=f"from a processor whose INT8 products .*{reason}"):
            HandTracker(copied({"passed": True, "graph_sha256": digest, **products}), cpu, precision="int8")
    passed = copied({"passed": True, "graph_sha256": digest, "int8_products": int8_products()})
    tracker = HandTracker(passed, precision="int8")
    assert tracker.precision == "int8"
    assert tracker.bundle.graph("landmarks_full").name == "landmarks_full-int8-cpu"
    assert tracker.bundle.graph("palm_detector").name == "palm_detector"  # there is no other
    assert bases(passed) == ("palm_detector", "landmarks_full", "landmarks_lite")
    assert base_of(passed, "landmarks_full-int8-cpu") == "landmarks_full"


def test_a_precision_that_a_bundle_has_not_is_named(hands: Bundle) -> None:
    with pytest.raises(BackendError, match="no graph of precision `int4` for backend `cpu`; it has: fp32"):
        HandTracker(hands, precision="int4")
    with pytest.raises(BackendError, match="no graph of precision `fp16` for backend `cpu`"):
        PoseBERT("posebert-hand", precision="fp16")
