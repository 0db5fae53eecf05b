"""MultiHMR on a toy whose answers are known: pixels, metres, nobody, batches, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanrt import MultiHMR, People, native
from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BackendError, BundleError, ClosedError
from humanrt.geometry.camera import Letterbox, field_of_view_intrinsics, project
from humanrt.inference.variants import at
from humanrt.people.multihmr import Preprocessor
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.smoother import OneEuroPeople
from humanrt.sources.opening import Frame

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
Draw = Callable[..., Any]


@pytest.fixture(scope="module")
def model(toy_bundle: Callable[..., Path]) -> MultiHMR:
    return MultiHMR(toy_bundle())


def heads(people: People) -> dict[int, int]:
    """Depth in m (2 red, 3 green, 4 blue) -> row."""
    return {round(float(z)): row for row, z in enumerate(people.translations[:, 2])}


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (56, 56), (30, 20), (1000, 300)])
def test_heads_are_where_they_are_in_the_source(model: MultiHMR, picture: Draw, width: int, height: int) -> None:
    size = max(4, min(width, height) // 5 // 2 * 2)
    at = {"red": (width * 0.25, height * 0.5), "blue": (width * 0.75, height * 0.5)}
    people = model(picture(width, height, size, **at))
    row = heads(people)
    assert set(row) == {2, 4}
    px = max(width, height) / model.image_size  # of the source, in one of the network
    for depth, (x, y) in ((2, at["red"]), (4, at["blue"])):
        assert people.locations[row[depth]] == pytest.approx((round(x - size / 2) + size / 2, y), abs=0.3 * px)
    K = people.intrinsics
    np.testing.assert_allclose(project(people.translations, K), people.locations, atol=1e-3 * px)
    np.testing.assert_allclose(people.joints[:, 0], people.translations, atol=1e-6)
    np.testing.assert_allclose(people.joints_2d, project(people.joints, K), atol=1e-3 * px)
    assert people.vertices.shape == (2, 4, 3)
    assert (np.diff(people.scores) <= 0).all()
    assert set(people.ms) == {"preprocess", "network", "body", "decode"}


def test_intrinsics_are_those_of_the_source(model: MultiHMR, picture: Draw) -> None:
    image = picture(640, 360, green=(500, 100))
    K = np.array([[700.0, 0, 300], [0, 690, 200], [0, 0, 1]])
    people = model(image, K)
    np.testing.assert_allclose(people.intrinsics, K, rtol=1e-12)
    x, y, z = people.translations[0]
    assert z == pytest.approx(3)
    assert x == pytest.approx(3 * (500 - 300) / 700, abs=0.02)
    assert y == pytest.approx(3 * (100 - 200) / 690, abs=0.02)
    wide = MultiHMR(model.bundle, fov=90.0)(image)
    assert wide.intrinsics[0, 0] == pytest.approx(320, rel=0.01)


def test_few_and_all_people_have_the_same_meshes(model: MultiHMR, picture: Draw) -> None:
    three = model(picture(200, 200, red=(50, 50), green=(150, 50), blue=(100, 150)))
    assert len(three) == 3
    for colour, place, depth in (("red", (50, 50), 2), ("green", (150, 50), 3), ("blue", (100, 150), 4)):
        one = model(picture(200, 200, **{colour: place}))
        np.testing.assert_allclose(one.vertices[0], three.vertices[heads(three)[depth]], atol=1e-6)


@pytest.mark.parametrize("meshes", [True, False])
def test_nobody_is_an_empty_result(toy_bundle: Callable[..., Path], meshes: bool) -> None:
    people = MultiHMR(toy_bundle(), meshes=meshes)(np.zeros((480, 640, 3), np.uint8))
    assert len(people) == 0
    shapes = {name: getattr(people, name).shape for name in ("scores", "locations", "translations", "rotations")}
    assert shapes == {"scores": (0,), "locations": (0, 2), "translations": (0, 3), "rotations": (0, 2, 3, 3)}
    assert people.shape.shape == (0, 4)
    assert people.expression.shape == (0, 1)
    if meshes:
        assert people.vertices.shape == (0, 4, 3)
        assert people.joints.shape == (0, 2, 3)
        assert people.joints_2d.shape == (0, 2, 2)
    else:
        assert people.vertices is people.joints is people.joints_2d is None
        assert "body" not in people.ms


def test_the_threshold_decides(model: MultiHMR, picture: Draw) -> None:
    image = picture(100, 100, red=(50, 50), level=180)
    assert len(model(image)) == 1
    assert len(model(image, threshold=0.8)) == 0
    with pytest.raises(ValueError, match="threshold"):
        model(image, threshold=1.5)


def test_a_network_that_estimates_the_camera(toy_bundle: Callable[..., Path], picture: Draw) -> None:
    """As on Anny: no expression, its own camera where none is given, and a choice of meshes."""
    image = picture(112, 84, red=(30, 40))
    estimated = MultiHMR(toy_bundle(estimates=True))(image)
    assert estimated.intrinsics == pytest.approx(np.array([[112, 0, 56], [0, 112, 42], [0, 0, 1]]), abs=1e-4)
    assert estimated.expression.shape == (1, 0)
    np.testing.assert_allclose(project(estimated.translations, estimated.intrinsics), estimated.locations, atol=1e-2)
    K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    given = MultiHMR(toy_bundle(estimates=True), topology="second")
    np.testing.assert_allclose(given(image, K).intrinsics, K, atol=1e-5)
    assert MultiHMR(toy_bundle(estimates=True), fov=90)(image).intrinsics[0, 0] == pytest.approx(56)
    assert given.faces.tolist() != MultiHMR(toy_bundle(estimates=True)).faces.tolist()
    with pytest.raises(BundleError, match="it has: first, second"):
        MultiHMR(toy_bundle(estimates=True), topology="third")
    with pytest.raises(BundleError, match="leave it out"):
        MultiHMR(toy_bundle(), topology="third")


@pytest.mark.parametrize(("default", "focal"), [(None, 112), ("estimate", 112), ("field_of_view", 96.995)])
def test_the_bundle_says_what_is_assumed_of_the_camera(
    toy_bundle: Callable[..., Path], picture: Draw, default: str | None, focal: float
) -> None:
    """NAVER's networks on Anny estimate the camera, and their authors assume 60 degrees all the same."""
    image = picture(112, 84, red=(60, 40))
    bundle = load_bundle(toy_bundle(estimates=True))
    settings = dict(bundle.settings)
    settings["camera"] = {**settings["camera"], **({"default": default} if default else {})}
    bundle = dataclasses.replace(bundle, manifest={**bundle.manifest, "settings": settings})
    assert MultiHMR(bundle)(image).intrinsics[0, 0] == pytest.approx(focal, abs=1e-2)
    assert MultiHMR(bundle, fov="auto")(image).intrinsics[0, 0] == pytest.approx(112, abs=1e-2)
    assert MultiHMR(bundle, fov=90)(image).intrinsics[0, 0] == pytest.approx(56, abs=1e-2)


def test_what_does_not_estimate_the_camera_refuses_auto(toy_bundle: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="does not estimate the field of view; give it in degrees"):
        MultiHMR(toy_bundle(), fov="auto")


def test_a_closed_model_says_so(toy_bundle: Callable[..., Path], picture: Draw) -> None:
    model = MultiHMR(toy_bundle())
    image = picture(56, 56, 8, red=(20, 20))
    model.submit(image)
    model.close()
    model.close()
    for use in (
        lambda: model(image),
        lambda: model.submit(image),
        model.result,
        lambda: model.infer(np.zeros((1, 3, 56, 56), np.float32)),
    ):
        with pytest.raises(ClosedError, match=r"^this MultiHMR is closed; open another$"):
            use()


def test_a_closed_graph_says_so(toy_bundle: Callable[..., Path]) -> None:
    bundle = load_bundle(toy_bundle())
    graph = open_backend("cpu", BackendOptions(threads=1)).open(bundle.graph("body-1"))
    inputs = {spec.name: graph.buffer(spec.name) for spec in graph.spec.inputs}
    outputs = {spec.name: graph.buffer(spec.name) for spec in graph.spec.outputs}
    graph.close()
    for use in (lambda: graph.run({}), lambda: graph.buffer("vertices"), lambda: graph.bind(inputs, outputs)):
        with pytest.raises(ClosedError, match=r"^graph body-1 is closed; open another$"):
            use()


def same(people: People, other: People) -> None:
    assert len(people) == len(other)
    for name in ("scores", "locations", "translations", "intrinsics", "vertices", "joints", "joints_2d"):
        if getattr(other, name) is not None:
            np.testing.assert_allclose(getattr(people, name), getattr(other, name), atol=1e-5, err_msg=name)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_any_number_of_images_on_a_batch_of_two(toy_bundle: Callable[..., Path], picture: Draw, count: int) -> None:
    model = MultiHMR(toy_bundle(batch=2))
    images = np.zeros((count, 3, model.image_size, model.image_size), np.float32)
    for index in range(count):
        if index != 1:  # one of them is empty
            Preprocessor(56, MEAN, STD)(picture(56, 56, 8, red=(8 + 8 * index, 20)), images[index])
        else:
            images[index] = (-MEAN / STD)[:, None, None]
    results = model.infer(images)
    assert len(results) == count
    for index, people in enumerate(results):
        assert len(people) == (index != 1)
        if index != 1:
            assert people.locations[0] == pytest.approx((8 + 8 * index, 20), abs=0.05)
    if count:
        single = MultiHMR(toy_bundle()).infer(images[:1])[0]
        np.testing.assert_allclose(single.vertices, results[0].vertices, atol=1e-6)
        assert len(model(picture(56, 56, 8, red=(20, 20)))) == 1


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("meshes", [True, False])
def test_a_list_gives_what_its_images_give_one_by_one(
    toy_bundle: Callable[..., Path], picture: Draw, tmp_path: Path, batch: int, meshes: bool
) -> None:
    """Of any number and sizes, an empty one, a file and a camera of its own among them; the last batch is padded."""
    images: list[Any] = [picture(160 + 40 * i, 120, red=(30 + 10 * i, 40), green=(120, 80)) for i in range(4)]
    images.append(np.zeros((90, 60, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "one.png"), images[0])
    images.append(tmp_path / "one.png")
    K = np.tile(np.array([[200.0, 0, 90], [0, 200, 60], [0, 0, 1]]), (len(images), 1, 1))
    K[2, 0, 0] = K[2, 1, 1] = 333.0
    single = MultiHMR(toy_bundle(), meshes=meshes)
    given: Any
    with MultiHMR(toy_bundle(batch=batch), meshes=meshes) as model:
        for given, each in ((None, [None] * len(K)), (K[0], [K[0]] * len(K)), (K, list(K))):
            alone = [single(image, camera) for image, camera in zip(images, each, strict=True)]
            assert [len(people) for people in alone] == [2, 2, 2, 2, 0, 2]
            for count in (0, 1, 2, 3, 6):
                found = model(images[:count], given[:count] if given is K else given)
                assert len(found) == count
                for people, one in zip(found, alone, strict=False):
                    assert set(people.ms) == set(one.ms)
                    assert (people.vertices is not None) == meshes
                    same(people, one)


def test_a_list_with_something_else_in_it_is_refused_and_leaves_nothing_behind(
    toy_bundle: Callable[..., Path], picture: Draw
) -> None:
    model = MultiHMR(toy_bundle(batch=3))
    image = picture(56, 56, 8, red=(20, 20))
    for wrong, words in (
        (np.zeros((4, 4)), r"image 1 of the list: .*uint8"),
        ("film.mp4", r"image 1 of the list: film.mp4: not the name of an image file"),
    ):
        with pytest.raises(ValueError, match=words):
            model([image, wrong])
        assert model.in_flight == 0
    with pytest.raises(ValueError, match=r"\[3, 3, 3\], not \[2, 3, 3\]"):
        model([image, image], np.zeros((3, 3, 3)))
    model.submit(image)
    with pytest.raises(ValueError, match="1 submitted images are pending"):
        model([image])
    assert len(model.result()) == 1


def test_a_batch_has_one_threshold(toy_bundle: Callable[..., Path], picture: Draw) -> None:
    """Images submitted with another threshold, or without meshes, wait for none of the others."""
    model = MultiHMR(toy_bundle(batch=3))
    image = picture(100, 100, red=(50, 50), level=180)
    model.submit(image)
    model.submit(image, threshold=0.8)
    model.submit(image, meshes=False)
    assert model.in_flight == 3
    found = [model.result() for _ in range(3)]
    assert [len(people) for people in found] == [1, 0, 1]
    assert [people.vertices is None for people in found] == [False, False, True]


def test_frames_of_a_file_fill_batches(toy_bundle: Callable[..., Path], picture: Draw) -> None:
    frames = [Frame(picture(100, 80, red=(30 + 5 * i, 40)), i / 30, i) for i in range(8)]
    with (
        PeoplePipeline(MultiHMR(toy_bundle()), smoother=OneEuroPeople()) as plain,
        PeoplePipeline(MultiHMR(toy_bundle(batch=3)), overlap=True, smoother=OneEuroPeople()) as filling,
    ):
        runs = 0
        people = filling.model._networks.people

        def counted(*arguments: Any, **named: Any) -> list[People]:
            nonlocal runs
            runs += 1
            return people(*arguments, **named)

        filling.model._networks.people = counted  # type: ignore[method-assign]
        for one, other in zip(plain.stream(frames), filling.stream(frames), strict=True):
            assert one.ids == other.ids == (1,)
            assert one.frame.index == other.frame.index
            same(one.people, other.people)
        assert runs == 3


def test_images_of_nan_hold_nobody(model: MultiHMR) -> None:
    image = np.full((1, 3, 56, 56), np.nan, np.float32)
    assert len(model.infer(image)[0]) == 0


@pytest.mark.parametrize(
    ("image", "intrinsics", "words"),
    [
        (np.zeros((10, 10), np.uint8), None, "uint8"),
        (np.zeros((10, 10, 3), np.float32), None, "uint8"),
        (np.zeros((0, 10, 3), np.uint8), None, "uint8"),
        (np.zeros((10, 10, 3), np.uint8), np.eye(4), r"shape \[4, 4\], not \[3, 3\]"),
        (np.zeros((10, 10, 3), np.uint8), np.eye(3) * np.nan, "NaN"),
        (np.zeros((10, 10, 3), np.uint8), -np.eye(3), "above 0"),
        (np.zeros((10, 10, 3), np.uint8), np.array([[9, 0, 0], [0, 9, 0], [5, 5, 1]]), "transposed"),
        (np.zeros((10, 10, 3), np.uint8), "K", "not numbers"),
    ],
)
def test_what_is_no_image_or_camera_is_refused(model: MultiHMR, image: Any, intrinsics: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model(image, intrinsics)


def test_infer_refuses_images_of_another_kind(model: MultiHMR) -> None:
    for images in (np.zeros((1, 3, 28, 28), np.float32), np.zeros((1, 3, 56, 56)), np.zeros((3, 56, 56), np.float32)):
        with pytest.raises(ValueError, match=r"float32 \[B, 3, 56, 56\]"):
            model.infer(images)
    with pytest.raises(ValueError, match=r"not \[2, 3, 3\]"):
        model.infer(np.zeros((2, 3, 56, 56), np.float32), np.zeros((3, 3, 3)))


def test_bundles_and_precisions_that_do_not_fit(toy_bundle: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match="for task `hands`"):
        MultiHMR("hands")
    with pytest.raises(BackendError, match="it has: bf16x3, fp32"):
        MultiHMR(toy_bundle(), precision="fp64")
    with pytest.raises(BackendError, match="a processor with warp_drive"):
        MultiHMR(toy_bundle(), precision="bf16x3")
    with pytest.raises(ValueError, match="field of view"):
        MultiHMR(toy_bundle(), fov=0)


def test_graphs_for_amx_are_used_where_they_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"file": "x.onnx", "inputs": {}, "outputs": {}}
    graphs = {"ours": {**entry, "operators": True}, "theirs": entry}
    variants = [{"graph": name, "precision": "fp32", "backend": "cpu", "cpu": []} for name in graphs]
    variants.append({"graph": "ours", "precision": "bf16x3", "backend": "cpu", "cpu": []})
    bundle = Bundle(Path(), "b", "people", "", {"graphs": graphs, "settings": {"variants": variants}})
    monkeypatch.setattr(native, "amx_problem", lambda: None)
    cpu = open_backend("cpu", BackendOptions(unverified=True))
    assert at(bundle, cpu, "fp32").chosen == {"network": "ours"}
    assert at(bundle, cpu, "bf16x3").chosen == {"network": "ours"}
    monkeypatch.setattr(native, "amx_problem", lambda: "this processor has no AMX")
    assert at(bundle, cpu, "fp32").chosen == {"network": "theirs"}
    with pytest.raises(BackendError, match="`bf16x3` cannot run here: this processor has no AMX; use another"):
        at(bundle, cpu, "bf16x3")


def test_importing_it_is_light() -> None:
    code = "import sys, humanrt; humanrt.MultiHMR; print({'torch', 'onnx', 'moderngl', 'pygame'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


# --- letterbox and normalisation ---

sizes = st.integers(1, 3000)


@settings(deadline=None)
@given(sizes, sizes, st.sampled_from([224, 448, 672, 896]))
def test_letterboxes_go_there_and_back(width: int, height: int, side: int) -> None:
    box = Letterbox.fit((width, height), side)
    assert max(box.scaled) == side
    assert all(o >= 0 and o + s <= side for o, s in zip(box.offset, box.scaled, strict=True))
    assert all(abs(side - s - 2 * o) <= 1 for o, s in zip(box.offset, box.scaled, strict=True)), "centred"
    corners = np.array([[0, 0], [width, height], [width / 3, height / 7]], float)
    there = box.points_to_input(corners)
    np.testing.assert_allclose(there[:2], [box.offset, np.add(box.offset, box.scaled)], atol=1e-9)
    np.testing.assert_allclose(box.points_to_source(there), corners, atol=1e-9 * max(width, height))
    K = field_of_view_intrinsics((width, height), 55.0)
    K[0, 1] = 0.5
    np.testing.assert_allclose(box.intrinsics_to_source(box.intrinsics_to_input(K)), K, rtol=1e-9, atol=1e-6)
    points = np.array([[0.3, -0.2, 2.0], [-1.0, 0.5, 5.0]])
    np.testing.assert_allclose(
        project(points, box.intrinsics_to_input(K)), box.points_to_input(project(points, K)), atol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**31))
def test_the_input_is_the_image_normalised_and_black_around(width: int, height: int, seed: int) -> None:
    preprocess = Preprocessor(56, MEAN, STD)
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out = np.full((3, 56, 56), np.nan, np.float32)
    box = preprocess(rgb, out)
    (w, h), (x, y) = box.scaled, box.offset
    black = (-MEAN / STD)[:, None, None]
    outside = np.ones((56, 56), bool)
    outside[y : y + h, x : x + w] = False
    np.testing.assert_allclose(out[:, outside], np.broadcast_to(black[..., 0], (3, outside.sum())), rtol=1e-6)
    levels = (out * STD[:, None, None] + MEAN[:, None, None]) * 255
    assert ((levels > -1e-3) & (levels < 255.001)).all()
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    if box.scaled == box.source:
        np.testing.assert_allclose(levels[:, y : y + h, x : x + w], rgb.transpose(2, 0, 1), atol=1e-3)


def test_an_image_of_the_networks_size_passes_unchanged_from_any_memory() -> None:
    preprocess = Preprocessor(56, MEAN, STD)
    rgb = np.random.default_rng(0).integers(0, 256, (56, 56, 3), np.uint8)
    out = np.empty((2, 3, 56, 56), np.float32)
    preprocess(rgb, out[0])
    preprocess(rgb[:, ::-1][:, ::-1], out[1])
    np.testing.assert_allclose(out[0], ((rgb / 255 - MEAN) / STD).transpose(2, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(out[1], out[0])
