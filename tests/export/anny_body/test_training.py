"""Multi-HMR on Anny is trained: targets, losses, metrics, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from people_samples import make_sample

from humanrt.errors import HumanrtError
from humanrt.geometry.similarity import aligned
from humanrt.people.metrics import Bodies, PeopleMetrics, matched
from humanrt_export import cli
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import AnnyData
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.data.people.dataset import PeopleBatch, PeopleImages, normalised, targets
from humanrt_export.data.people.truth import truth_of
from humanrt_export.networks.anny_head import Predictions
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, Trained, load_checkpoint
from humanrt_export.runs import load_run
from humanrt_export.synthetic.people import PeopleLabels, PeopleSample, ShardWriter
from humanrt_export.training.tasks.multihmr import load_backbone
from humanrt_export.training.tasks.multihmr_losses import Weights, focal, losses

SIZE = 98


@pytest.fixture(scope="module")
def body(coarse: AnnyData) -> AnnyBody:
    return AnnyBody(coarse).eval()


@pytest.fixture(scope="module")
def samples(body: AnnyBody) -> list[PeopleSample]:
    return [make_sample(body, people, seed) for seed, people in enumerate((1, 2, 0, 3))]


def perfect(batch: PeopleBatch) -> Trained:
    """What a network would say that knows the batch."""
    side = SIZE // 14
    hot = torch.zeros(len(batch), side * side).scatter_add_(1, batch.cells, batch.valid.float())
    cells = torch.stack((batch.cells % side, batch.cells // side), -1) + 0.5
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    focal_px = batch.intrinsics[:, 0, 0]
    return Trained(
        torch.where(hot > 0, 40.0, -40.0),
        2 * torch.atan(SIZE / (2 * focal_px)),
        Predictions(
            batch.heads / 14 - cells,
            batch.rotations,
            (batch.shape - low) / (high - low),
            torch.log(focal_px[:, None] / batch.translation[..., 2]),
        ),
        torch.where(batch.marks, 40.0, -40.0),
    )


def test_losses_are_zero_at_the_truth_and_above_elsewhere(body: AnnyBody, samples: list[PeopleSample]) -> None:
    batch = PeopleImages(samples, SIZE).batch(0, 0, 8)
    said = perfect(batch)
    for name, value in losses(said, batch, body, SIZE, Weights()).items():
        assert float(value) == pytest.approx(0, abs=3e-3 if name == "total" else 3e-5), name
    turned = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.1, 0], [0.1, 0, 0], [0, 0, 0]]))
    told = said.predictions
    wrong = Trained(
        said.logits / 20,
        said.angle + 0.1,
        Predictions(told.offsets + 0.2, told.rotations @ turned, told.shape + 0.1, told.size + 0.1),
        said.marks / 20,
    )
    found = losses(wrong, batch, body, SIZE, Weights())
    assert all(float(value) > 1e-3 for value in found.values())
    assert float(found["offset"]) == pytest.approx(0.2, abs=1e-4)
    assert float(found["distance"]) == pytest.approx(0.1, abs=1e-4)
    assert float(found["view"]) == pytest.approx(0.1, abs=1e-4)
    weights = asdict(Weights())
    assert float(found["total"]) == pytest.approx(
        sum(weights[n] * float(value) for n, value in found.items() if n != "total"), rel=1e-4
    )


def test_projected_losses_count_from_when_a_batch_says_so(body: AnnyBody, samples: list[PeopleSample]) -> None:
    batch = PeopleImages(samples, SIZE).batch(0, 0, 4)
    said = perfect(batch)
    wrong = said._replace(predictions=replace(said.predictions, shape=said.predictions.shape + 0.1))
    late, early = (
        losses(wrong, replace(batch, projected=projected), body, SIZE, Weights()) for projected in (True, False)
    )
    assert float(early["points"]) == 0 < float(late["points"])
    assert all(torch.equal(late[name], early[name]) for name in late if name not in ("points", "total"))
    assert float(late["total"] - early["total"]) == pytest.approx(float(late["points"]), rel=1e-2)


def test_losses_of_nobody_are_numbers(body: AnnyBody, samples: list[PeopleSample]) -> None:
    batch = PeopleImages(samples[2:3], SIZE).batch(0, 0, 2)
    found = losses(perfect(batch), batch, body, SIZE, Weights())
    assert all(math.isfinite(float(value)) for value in found.values())


def test_focal_loss_by_hand() -> None:
    logits, hot = torch.tensor([[0.0, 1.0, -1.0, 3.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    p = torch.sigmoid(logits[0])
    expected = -((1 - p[1]) ** 2) * p[1].log() - p[0] ** 2 * (1 - p[0]).log() - p[2] ** 2 * (1 - p[2]).log()
    counted = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(focal(logits, hot, counted), expected)


def test_who_gets_which_slot(body: AnnyBody) -> None:
    """The nearer of two in one token; nobody for those who are hardly seen, nor for those beside the picture."""
    people = make_sample(body, 5, 3).people
    points, places, visible = people.joints_2d.copy(), people.translation.copy(), np.ones(5, np.float32)
    joint = int(np.linalg.norm(people.joints[0] - people.translation[0], axis=-1).argmin())
    points[:, joint] = [(20, 20), (22, 25), (50, 60), (-3, 40), (70, 90)]
    places[:, 2] = [4, 3, 5, 2, 6]
    joints = people.joints + (places - people.translation)[:, None]
    visible[2] = 0.1
    row = targets(PeopleLabels(people.rotations, people.shape, places, joints, points, visible), SIZE, 4, 0.25)
    assert row.valid.tolist() == [True, True, False, False]
    assert row.cells[:2].tolist() == [7 + 1, 6 * 7 + 5]
    np.testing.assert_array_equal(row.translation[:2, 2], [3, 6])
    assert np.flatnonzero(row.ignored).tolist() == [4 * 7 + 3]


def test_pictures_are_normalised_as_the_runtime_does() -> None:
    from humanrt.people.multihmr import Preprocessor
    from humanrt_export.networks.camera import DEVIATION, MEAN

    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    expected = np.empty((3, SIZE, SIZE), np.float32)
    Preprocessor(SIZE, MEAN, DEVIATION)(image, expected)
    np.testing.assert_allclose(normalised(image[None])[0].numpy(), expected, atol=1e-5)


# --- metrics


def test_metrics_by_hand(coarse: AnnyData, body: AnnyBody) -> None:
    people = make_sample(body, 2, 7).people
    with torch.inference_mode():
        vertices = body(
            *(torch.from_numpy(x) for x in (people.rotations, people.shape, people.translation))
        ).vertices.numpy()
    truth = truth_of(people, vertices, (SIZE, SIZE), 0.25)
    exact = Bodies(truth.joints, truth.heads, truth.vertices)
    metrics = PeopleMetrics(coarse.joint_names)
    metrics.add(exact, truth)
    summary = metrics.summary()
    assert (summary["precision"], summary["recall"], summary["people"]) == (1, 1, 2)
    assert all(
        summary[name] == pytest.approx(0, abs=1e-2) for name in ("mpjpe", "pa_mpjpe", "pve", "hands", "position")
    )

    # One person, moved by 0.1 m and 2 % larger about the root, and one detection where nobody is.
    root = truth.joints[:1, :1]
    larger = [1.02 * (x[:1] - root) + root + np.array([0.1, 0, 0]) for x in (truth.joints, truth.vertices)]
    joints, larger_vertices = (np.concatenate((x, x)) for x in larger)
    heads = np.concatenate((truth.heads[:1], truth.heads[:1] + 1000))
    metrics = PeopleMetrics(coarse.joint_names)
    metrics.add(Bodies(joints, heads, larger_vertices), truth)
    summary = metrics.summary()
    assert (summary["precision"], summary["recall"], summary["people"]) == (0.5, 0.5, 1)
    distances = np.linalg.norm(truth.vertices[0] - root[0], axis=-1)
    assert summary["pve"] == pytest.approx(0.02 * distances.mean() * 1000, rel=1e-3)
    assert summary["pa_pve"] == pytest.approx(0, abs=1e-2)


def test_similarity_is_taken_off_and_mirrors_are_not() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(1, 20, 3))
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    np.testing.assert_allclose(aligned(points, 1.7 * points @ turn + 3), 1.7 * points @ turn + 3, atol=1e-9)
    mirror = points * (-1, 1, 1)
    assert np.linalg.norm(aligned(points, mirror) - mirror, axis=-1).mean() > 0.3


def test_the_nearest_heads_are_matched_once() -> None:
    nothing = np.zeros((3, 0, 3))
    found = Bodies(nothing, np.array([[10.0, 10], [14, 10], [300, 10]]))
    truth = Bodies(nothing[:2], np.array([[13.0, 10], [240, 10]]), extents=np.array([50.0, 60]))
    assert matched(found, truth) == [(1, 0)]


# --- the command


@pytest.fixture
def data(tmp_path: Path, samples: list[PeopleSample], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(BACKBONES, "dinov2_vitt14", (64, 1, 2))
    for part in ("train", "val"):
        ShardWriter(tmp_path / "data" / part, {"about": "a test"}, size=4).write(0, 0, samples)
    return tmp_path / "data"


def command(data: Path, out: Path, *more: str) -> list[str]:
    options = {
        **{"data": data, "out": out, "backbone": "dinov2_vitt14", "image-size": SIZE, "width": 32, "depth": 1},
        **{"heads": 1, "mlp": 32, "batch": 2, "steps": 6, "warmup": 2, "validate-every": 3, "report-every": 1},
        **{"validated": 4, "threads": 1, "save-every": 0},
    }
    return [
        "train",
        "multihmr",
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        *more,
    ]


def test_a_resumed_training_is_the_same(data: Path, tmp_path: Path, stopped_at: Callable[[int], None]) -> None:
    """Stopped after three steps and gone on with, it ends with the same weights, bit by bit."""
    assert cli.main(command(data, tmp_path / "whole", "--half-cpu")) == 0
    stopped_at(3)
    assert cli.main(command(data, tmp_path / "parts", "--half-cpu")) == 0
    assert load_run(tmp_path / "parts")[2] == 3
    stopped_at(10**9)
    assert cli.main(command(data, tmp_path / "parts", "--half-cpu")) == 0
    (one, whole, _), (other, parts, step) = (load_run(tmp_path / name) for name in ("whole", "parts"))
    assert (one, step) == (other, 6)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert {"total", "detection", "vertices", "view"} <= lines[0].keys()
    # The folder is a checkpoint: what is exported are its averaged weights.
    model, about = load_checkpoint(tmp_path / "whole")
    assert all(torch.equal(value, whole[name]) for name, value in model.state_dict().items())
    assert not any(name.startswith("marks") for name in model.state_dict())
    assert about["command"].startswith("humanrt-export train multihmr ")
    assert json.loads(about["data"])["samples"] == 4
    assert json.loads(about["training"])["step"] == 6


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ends trainings after so many steps of their own, as a signal would."""
    from contextlib import contextmanager

    from humanrt_export.training import loop as training

    def set_limit(limit: int) -> None:
        @contextmanager
        def stopping():  # type: ignore[no-untyped-def]
            asked = iter(range(10**9))
            yield lambda: next(asked) >= limit

        monkeypatch.setattr(training, "_stopping", stopping)

    return set_limit


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--data", "/nowhere"], "no samples there"),
        (["--points-from", "2"], "--points-from is 2"),
        (["--validated", "0"], "--validated is 0"),
        (["--width", "30"], "multiple of 4"),
        (["--backbone-weights", "/nowhere.pt"], "no such file"),
        (["--backbone", "mediapipe14", "--image-size", "112"], "give --backbone-weights"),
        (["--trunk-rate", "-1"], "--trunk-rate is -1"),
        (["--trunk-rate", "0.1"], "give a --backbone that has one: mediapipe14, movenet14"),
    ],
)
def test_bad_options_are_one_line(
    data: Path, tmp_path: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command(data, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_backbone_is_started_from(tmp_path: Path, data: Path) -> None:
    config = AnnyConfig(backbone="dinov2_vitt14", image_size=SIZE, width=32, depth=1, heads=1, mlp=32)
    one, other = AnnyHmr(config), AnnyHmr(config)
    state = one.backbone.state_dict()
    torch.save({**state, "mask_token": torch.zeros(1, 64)}, tmp_path / "backbone.pt")
    load_backbone(other.backbone, other.config.backbone, tmp_path / "backbone.pt")
    assert all(torch.equal(value, state[name]) for name, value in other.backbone.state_dict().items())
    torch.save({name: value for name, value in state.items() if "norm1" not in name}, tmp_path / "less.pt")
    with pytest.raises(CheckpointError, match="missing"):
        load_backbone(other.backbone, other.config.backbone, tmp_path / "less.pt")


def test_a_batch_of_a_growing_folder_is_that_of_the_full_one(samples: list[PeopleSample]) -> None:
    few = PeopleImages(samples[:2], SIZE, start=2, growth=0.5)
    all_of_them = PeopleImages(samples, SIZE, start=2, growth=0.5, workers=3)
    for step in (0, 1):
        one, other = (images.batch(5, step, 4) for images in (few, all_of_them))
        tensors = {name: value for name, value in vars(one).items() if isinstance(value, torch.Tensor)}
        assert all(torch.equal(value, getattr(other, name)) for name, value in tensors.items())
    assert not torch.equal(few.batch(5, 4, 4).image, all_of_them.batch(5, 4, 4).image)


def test_samples_that_never_come_are_an_error(samples: list[PeopleSample], monkeypatch: pytest.MonkeyPatch) -> None:
    from humanrt_export.data.people import dataset

    class Still(list[PeopleSample]):
        folder = "here"

        def refresh(self) -> int:
            return len(self)

    monkeypatch.setattr(dataset, "_PATIENCE", -1.0)
    growing = dataset.Growing(Still(samples), 10)
    assert growing[3] is samples[3]
    with pytest.raises(HumanrtError, match="sample 7 of 10 is missing"):
        growing[7]


def test_labels_say_everything(body: AnnyBody, samples: list[PeopleSample]) -> None:
    """Losses see parameters only: they give the joints of the labels."""
    people = replace(samples[3]).people
    with torch.inference_mode():
        posed = body(*(torch.from_numpy(x) for x in (people.rotations, people.shape, people.translation)))
    np.testing.assert_allclose(posed.joints.numpy(), people.joints, atol=1e-6)
