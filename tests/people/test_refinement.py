"""People of the single-shot network that ships, corrected by landmarks: nearer to the truth, the rest as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humanrt.cli import main
from humanrt.data import PEOPLE_CLIP, PEOPLE_TRUTH
from humanrt.errors import BundleError, HumanrtError
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import ANNY_LIMBS
from humanrt.people.multihmr import MultiHMR
from humanrt.people.refinement import BodyRefinement
from humanrt.people.results import People
from humanrt.people.truth import PeopleTruth
from humanrt.sources.opening import Frame, open_source
from humanrt.tasks import PeopleOptions, named_quality, open_people
from shipped import shipped

FRAME = 60


@pytest.fixture(scope="module")
def truth() -> PeopleTruth:
    return PeopleTruth.load(PEOPLE_TRUTH)


@pytest.fixture(scope="module")
def frame() -> Frame:
    with open_source(PEOPLE_CLIP) as source:
        return next(frame for frame in source if frame.index == FRAME)


@pytest.fixture(scope="module")
def plain(frame: Frame, truth: PeopleTruth) -> People:
    with MultiHMR(shipped("multihmr-anny")) as model:
        return model(frame.image, truth.intrinsics)


@pytest.fixture(scope="module")
def refined(frame: Frame, truth: PeopleTruth) -> People:
    with MultiHMR(shipped("multihmr-anny"), refine="fast") as model:
        return model(frame.image, truth.intrinsics)


def off(people: People, truth: PeopleTruth) -> list[float]:
    """Return for each true person the distance of the nearest find's limbs in the picture, mean px."""
    assert people.joints_2d is not None
    limbs = [truth.joint_names.index(name) for name in ANNY_LIMBS]
    true = [project(joints[limbs], truth.intrinsics) for joints in truth.joints[FRAME]]
    found = people.joints_2d[:, limbs]
    return [float(np.linalg.norm(found - one, axis=-1).mean(axis=1).min()) for one in true]


def test_people_lie_on_what_the_picture_shows(plain: People, refined: People, truth: PeopleTruth) -> None:
    assert len(plain) == len(refined) == 3
    before, after = off(plain, truth), off(refined, truth)
    assert np.mean(after) < min(7, np.mean(before))  # px; the network alone is hardly worse: 6.9
    assert max(after) < 15
    assert {"landmarks", "body", "network"} <= refined.ms.keys()


def test_what_nobody_looked_at_stays(plain: People, refined: People) -> None:
    fingers = [k for k, bone in enumerate(ANNY_BONES) if bone.startswith("finger")]
    np.testing.assert_array_equal(plain.shape, refined.shape)
    np.testing.assert_allclose(plain.rotations[:, fingers], refined.rotations[:, fingers], atol=1e-6)
    assert refined.vertices is not None
    assert refined.vertices.shape == plain.vertices.shape  # type: ignore[union-attr]


def test_whoever_is_not_seen_stays_as_they_are(plain: People, frame: Frame) -> None:
    with MultiHMR(shipped("multihmr-anny")) as model, BodyRefinement("fast", model.backend) as refinement:
        unseen = refinement(np.full_like(frame.image, 127), plain)
        twice = refinement(frame.image, of(plain, [0, 0]))
        behind = refinement(frame.image, replace(plain, translations=-plain.translations))
        nobody = refinement(frame.image, of(plain, []))
    np.testing.assert_array_equal(unseen.rotations, plain.rotations)
    np.testing.assert_array_equal(unseen.translations, plain.translations)
    assert (twice.rotations[1] == plain.rotations[0]).all()  # one person is looked at once
    assert (twice.rotations[0] != plain.rotations[0]).any()
    np.testing.assert_array_equal(behind.rotations, plain.rotations)
    assert len(nobody) == 0


def of(people: People, which: list[int]) -> People:
    """Return some of the people, without meshes."""
    names = ("scores", "locations", "translations", "rotations", "shape", "expression")
    some = {name: getattr(people, name)[which] for name in names}
    return replace(people, **some, vertices=None, joints=None, joints_2d=None)


def test_in_a_film_it_is_smoothed_and_said(frame: Frame, truth: PeopleTruth, refined: People) -> None:
    options = PeopleOptions(refine="fast", intrinsics=truth.intrinsics)
    with open_people("multihmr-anny", "cpu", options) as pipeline:
        assert pipeline.about()["refine"] == "fast"
        result = pipeline(frame)
    assert np.abs(result.people.translations - refined.translations).max() < 1e-4
    assert result.people.vertices is not None


def test_what_does_not_go_is_refused(toy_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError, match="has the body tetrahedron, but the body solver knows Anny"):
        MultiHMR(toy_bundle(), refine=True)
    with pytest.raises(HumanrtError, match=r"refine: no `finest`; choose one of: balanced, best, fast"):
        MultiHMR(shipped("multihmr-anny"), refine="finest")  # type: ignore[arg-type]
    photo = ["run", str(PEOPLE_CLIP), "--task", "people", "--headless", "--refine", "fast"]
    assert main(photo) == 2
    assert "--refine: bundle `holistic` follows landmarks as it is" in capsys.readouterr().err


def test_a_bundle_is_named_with_its_quality() -> None:
    assert named_quality("holistic:best")[1] == {"quality": "best"}
    bundle, options = named_quality("multihmr-anny:fast")
    assert (bundle.name, options) == ("multihmr-anny", {"refine": "fast"})
    assert named_quality("holistic")[1] == {}
    with pytest.raises(HumanrtError, match="holistic:finest: no quality `finest`; choose one of: fast, balanced, best"):
        named_quality("holistic:finest")
    with pytest.raises(HumanrtError, match="landmarks:fast: bundle `landmarks` has no qualities; give `landmarks`"):
        named_quality("landmarks:fast")
    with pytest.raises(BundleError):
        named_quality("no-such:fast")
