"""Drawing: only where moderngl and EGL are."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from humanrt.geometry.camera import project
from humanrt_export.synthetic import hand_motion as motion
from humanrt_export.synthetic.clips import ClipSpec, render_clip
from humanrt_export.synthetic.hand_model import load_arm, pose
from humanrt_export.synthetic.hand_scene import Camera, Look, room

SMALL = (160, 120)


@pytest.mark.usefixtures("gl")
@pytest.mark.parametrize("side", ["left", "right"])
def test_hand_is_drawn_where_truth_says(side: str) -> None:
    from humanrt_export.synthetic.render import Renderer

    camera = Camera((320, 240))
    arm = load_arm("left" if side == "left" else "right")
    q = pose(motion.open_hand(), x=0.03, y=0.06, z=0.5, roll=15)
    with Renderer(camera) as renderer:
        alpha = renderer.draw([(arm, q)], Look.sample(np.random.default_rng(0)))[..., 3]
    columns, rows = np.floor(project(arm.keypoints(q), camera.intrinsics)).astype(int).T
    assert np.all(alpha[rows, columns] > 0.9)
    assert 0.02 < alpha.mean() < 0.4
    # Far beyond the fingertips there is no hand.
    assert alpha[: rows.min() - 12].max() == 0


@pytest.mark.usefixtures("gl")
def test_clips_are_reproducible() -> None:
    spec = ClipSpec("random", size=SMALL, subframes=1)
    first, truth = render_clip(spec, seed=3)
    again, _ = render_clip(spec, seed=3)
    for a, b in zip(islice(first, 2), islice(again, 2), strict=True):
        assert a.shape == (SMALL[1], SMALL[0], 3)
        assert a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)
    assert truth.size == SMALL


def test_room_has_the_pictures_size_and_light_in_range() -> None:
    image = room(SMALL, np.random.default_rng(0))
    assert image.shape == (SMALL[1], SMALL[0], 3)
    assert image.min() >= 0
    assert image.std() > 0.01
    assert 0.05 < image.mean() < 1.0


@pytest.mark.usefixtures("gl")
def test_renderers_and_views_may_be_open_at_once() -> None:
    """GL calls go to the context that is current, whoever opened it: each must see to its own."""
    from humanrt.drawing.mesh_view import MeshView
    from humanrt_export.synthetic.render import Renderer

    arm, look = load_arm("right"), Look.sample(np.random.default_rng(0))
    q = pose(motion.open_hand(), x=0.03, y=0.06, z=0.5, roll=15)
    triangle = np.array([[-1, -1, 3], [1, -1, 3], [0, 1, 3]], np.float32)
    faces, intrinsics = np.array([[0, 1, 2], [0, 2, 1]], np.int32), Camera(SMALL).intrinsics
    with Renderer(Camera(SMALL)) as renderer:
        alone = renderer.draw([(arm, q)], look)
        with MeshView(SMALL) as view, Renderer(Camera(SMALL)) as other:
            mask = view.mask([triangle], faces, intrinsics)
            assert 0 < (mask == 1).mean() < 1
            for one in (renderer, other, renderer):
                np.testing.assert_array_equal(one.draw([(arm, q)], look), alone)
                np.testing.assert_array_equal(view.mask([triangle], faces, intrinsics), mask)
        np.testing.assert_array_equal(renderer.draw([(arm, q)], look), alone)
