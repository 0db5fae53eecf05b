"""The open weights that ship (`engines/multihmr-anny`): they find and place people, and tell their origin."""

from __future__ import annotations

import numpy as np

from humanrt.bundle import load_bundle
from humanrt.data import PEOPLE_CLIP, PEOPLE_TRUTH
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.truth import PeopleTruth, measure
from humanrt.sources.opening import open_source
from shipped import shipped

EVERY = 12  # frames


def test_they_see_who_is_in_the_demos_clip() -> None:
    truth = PeopleTruth.load(PEOPLE_TRUTH)
    with open_source(PEOPLE_CLIP, realtime=False) as source:
        frames = list(source)[::EVERY]
    with MultiHMR(shipped("multihmr-anny")) as model:
        pipeline = PeoplePipeline(model, intrinsics=truth.intrinsics)
        results = [pipeline(frame) for frame in frames]
    summary = measure(results, truth).summary()
    assert summary["recall"] > 0.5
    assert summary["precision"] > 0.5
    assert summary["mpjpe"] < 200
    assert summary["depth"] < 0.4


def test_nobody_is_seen_in_an_empty_picture() -> None:
    with MultiHMR(shipped("multihmr-anny")) as model:
        assert len(model(np.full((480, 640, 3), 127, np.uint8))) == 0


def test_anybody_may_use_them_and_their_origin_is_told() -> None:
    bundle = load_bundle(shipped("multihmr-anny"))
    assert bundle.licence == "Apache-2.0 AND CC0-1.0"
    assert "movenet14" in str(bundle.manifest["provenance"])
    assert "MoveNet" in (bundle.path / "NOTICE.txt").read_text()
    card = (bundle.path / "README.md").read_text()
    for word in ("Apache-2.0", "mocap.cs.cmu.edu", "MoveNet", "MPJPE", "fail"):
        assert word in card
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) < 10e6
