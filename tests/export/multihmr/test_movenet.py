"""MoveNet in PyTorch, the backbone and the head that look through it, their training and their export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from humanrt.bundle import load_bundle, packed
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import COCO_17
from humanrt_export import cli
from humanrt_export.bodies.anny.bones import ACTIVE, indices
from humanrt_export.bodies.anny.model import cached_file, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.multihmr_anny import ATTRIBUTION, trunk_attribution
from humanrt_export.data.people.augment import Augmentation
from humanrt_export.data.people.dataset import PeopleBatch, PeopleImages, Targets
from humanrt_export.data.people.imagined import COCO_JOINTS, ImaginedPeople, KeypointErrors
from humanrt_export.motion.clip import Motion
from humanrt_export.networks.camera import Window, default_intrinsics, unproject
from humanrt_export.networks.keypoint_backbone import KEYPOINT_BACKBONES, KeypointBackbone
from humanrt_export.networks.keypoint_head import (
    JOINTS,
    POSED,
    GivenKeypoints,
    KeypointHead,
    PersonView,
    TrueKeypoints,
    toward,
)
from humanrt_export.networks.movenet import LowerMaps, MoveNet, MoveNetMaps, movenet_weights
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr, load_checkpoint, save_checkpoint, trunk_learned
from humanrt_export.networks.posed_joints import PosedJoints
from humanrt_export.synthetic.people.poses import PoseSource
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample
from humanrt_export.training.frozen_maps import FrozenMaps
from humanrt_export.training.options import TrainOptions
from humanrt_export.training.processes import Processes
from humanrt_export.training.tasks import multihmr
from humanrt_export.training.tasks.multihmr import REUSED_AFTER, PeopleTask, TrainMultihmr, load_backbone, make_task
from humanrt_export.training.tasks.multihmr_losses import Weights, keypoint_errors, true_keypoints

ENGINES = Path(__file__).parents[3] / "engines"
GRAPH = ENGINES / "multipose" / "multipose.onnx.z"
INSIDE = {"fine": "t119", "middle": "t59", "coarse": "t98", "centres": "t123", "heatmaps": "t134"}  # names in the graph
SMALL = AnnyConfig(backbone="movenet14", image_size=112, width=64, depth=2, heads=1, mlp=64)
CORRECTS = replace(SMALL, corrections=2)

needs_anny = pytest.mark.skipif(
    not cached_file("10pc").is_file(), reason="Anny is not in the cache; building it takes a minute"
)


@pytest.fixture(scope="module")
def model() -> AnnyHmr:
    torch.manual_seed(0)
    made = AnnyHmr(SMALL)
    load_backbone(made.backbone, SMALL.backbone, GRAPH)
    made.eval()
    return made


def test_it_computes_the_graphs_maps() -> None:
    graph = onnx.load_from_string(packed.unpack(GRAPH.read_bytes()))
    graph.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in INSIDE.values())
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 256, 256)).astype(np.float32)
    names = [INSIDE.get(name, name) for name in MoveNetMaps._fields]
    wanted = session.run(names, {"image": image})
    net = MoveNet().eval()
    net.load_state_dict(movenet_weights(GRAPH))
    with torch.inference_mode():
        maps = net(torch.from_numpy(image))
    for name, own, true, width in zip(MoveNetMaps._fields, maps, wanted, MoveNet.WIDTHS, strict=True):
        assert own.shape[1] == width
        assert np.std(true) > 0.05
        np.testing.assert_allclose(own, true, atol=1e-4 * np.abs(true).max(), err_msg=name)


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not the graph of MoveNet"):
        movenet_weights(ENGINES / "landmarks" / "body_landmarks.onnx.z")
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match="not the graph of MoveNet"):
        movenet_weights(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="needs a multiple of 28"):
        AnnyConfig(backbone="movenet14", image_size=70)


def test_the_persons_view_is_a_camera_that_points_at_them() -> None:
    K = default_intrinsics(1, 448)
    K[0, 0, 1], K[0, 0, 2] = 3.0, 200.0
    pixels = torch.tensor([[[30.0, 400.0], [224.0, 10.0], [440.0, 220.0]]])
    rays = unproject(pixels, K)
    turn = toward(rays)
    eye = torch.eye(3).expand(1, 3, 3, 3)
    torch.testing.assert_close(turn @ turn.transpose(-1, -2), eye, atol=1e-6, rtol=0)
    torch.testing.assert_close(turn[..., 2], rays / rays.norm(dim=-1, keepdim=True))
    view = PersonView(turn, K, torch.tensor([448.0, 448.0]))
    own = view.tangents(pixels[:, :, None])
    torch.testing.assert_close(own, torch.zeros_like(own), atol=1e-5, rtol=0)
    around = pixels[:, :, None] + torch.tensor([[20.0, -35.0], [-8.0, 12.0]])
    torch.testing.assert_close(view.pixels(view.tangents(around)), around, atol=1e-3, rtol=0)


def test_before_training_joints_are_at_movenets_keypoints() -> None:
    head = KeypointHead(tokens=8, side=8, rotations=3, phenotypes=2, width=64, depth=2, heads=1, mlp=8, size=5.0)
    coco = torch.randn(17, 2)
    joints = head.drawn(coco.flatten()).unflatten(-1, (-1, 2))
    for name, wanted in (
        ("wrist.R", coco[10]),
        ("foot.L", coco[15]),
        ("root", coco[11:13].mean(0)),
        ("spine02", coco[[5, 6, 11, 12]].mean(0)),
    ):
        torch.testing.assert_close(joints[JOINTS.index(name)], wanted)


def test_joints_are_found_on_their_own_heat_map(model: AnnyHmr) -> None:
    """A peak of 0.1 m beside the expected place draws the keypoint there, unless it is another keypoint's."""
    head = model.head
    assert isinstance(head, KeypointHead)
    K = default_intrinsics(1, 112)
    centre = 14 * (torch.tensor([[[4.0, 3.0]]]) + 0.5)
    view = PersonView(toward(unproject(centre, K)), K, torch.tensor([112.0, 112.0]))
    angular = torch.full((1, 1, 1, 1), 0.5)  # tangent of a metre: some 97 px
    maps = model.maps(torch.zeros(1, 3, 112, 112))
    assert maps is not None
    expected = torch.zeros(1, 1, 17, 2)
    peak = view.pixels(torch.tensor([[[[0.05, 0.0]]]]))[0, 0, 0]  # 0.1 m to the right
    column, row = (peak / 112 * maps.fine.shape[-1]).long().tolist()
    fine = torch.full_like(maps.fine, -3.0)
    fine[0, -17 + 9, row, column] = 1.0
    found, confidence = (value[0, 0] for value in head._found(maps._replace(fine=fine), view, expected, angular))
    assert 0.05 < found[9, 0] < 0.15
    assert found[[0, 8, 10], 0].abs().max() < 0.02
    assert confidence.argmax() == 9


def test_onnx_runtime_sees_the_same(model: AnnyHmr) -> None:
    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    assert isinstance(model.backbone, KeypointBackbone)
    with torch.inference_mode():
        wanted = model.backbone.maps(images)
    for own, true in zip(FrozenMaps(model.backbone, 112, 1)(images), wanted, strict=True):
        torch.testing.assert_close(own, true, atol=1e-3, rtol=1e-3)


def test_lower_layers_and_the_others_are_the_whole_trunk(model: AnnyHmr) -> None:
    images = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    backbone = model.backbone
    assert isinstance(backbone, KeypointBackbone)
    with torch.inference_mode():
        wanted = backbone.maps(images)
        lower = FrozenMaps(backbone, 112, 1, lower=True)(images)
        assert isinstance(lower, LowerMaps)
        for own, true in zip(backbone.upper(lower), wanted, strict=True):
            torch.testing.assert_close(own, true, atol=1e-3, rtol=1e-3)


def test_a_window_has_the_squares_positions(model: AnnyHmr) -> None:
    backbone = KeypointBackbone("movenet14", 112)
    square = backbone.positions.unflatten(1, (4, 4))
    window = Window.of(8, (2, 1), 2)
    backbone.crop(window)
    torch.testing.assert_close(backbone.positions[0], square[0, 1:3].flatten(0, 1))
    tokens = backbone(torch.zeros(1, 3, window.size[1], window.size[0]))
    assert tokens.shape == (1, 1 + window.tokens, KEYPOINT_BACKBONES["movenet14"][0])


def test_a_checkpoint_needs_no_graph(model: AnnyHmr, tmp_path: Path) -> None:
    again, _ = load_checkpoint(save_checkpoint(tmp_path / "weights.pt", model, {}))
    assert isinstance(again.backbone, KeypointBackbone)
    assert torch.equal(again.backbone.trunk.stem.weight, movenet_weights(GRAPH)["stem.weight"])


class Standing:
    """Grey pictures in each of which somebody stands, each at a shade of its own."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> PeopleSample:
        empty = Targets.empty(64, 1, 6)
        joints = np.zeros((1, 116, 3), np.float32) + np.array([0, 0, 3], np.float32)
        labels = PeopleLabels(
            rotations=empty.rotations,
            shape=np.full((1, 6), 0.5, np.float32),
            translation=joints[:, 0],
            joints=joints,
            joints_2d=np.full((1, 116, 2), 56, np.float32),
            visible=np.ones(1, np.float32),
            expression=np.zeros((1, 52), np.float32),
        )
        image = np.full((112, 112, 3), index, np.uint8)
        K = default_intrinsics(1, 112)[0].numpy()
        return PeopleSample(image, K, labels, np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float16))


class ShardsOfStanding(Standing):
    info: ClassVar[dict[str, str]] = {}

    def refresh(self) -> int:
        return len(self)


def made_task(reuse: int = 1, trunk_rate: float = 0.0, settings: AnnyConfig = SMALL) -> PeopleTask:
    images = PeopleImages(Standing(), 112, augmentation=Augmentation.none())
    torch.manual_seed(0)
    task = PeopleTask(settings, Weights(), images, images, reuse=reuse, trunk_rate=trunk_rate)
    load_backbone(task.model.backbone, SMALL.backbone, GRAPH)
    return task


@needs_anny
def test_all_but_the_trunk_learns() -> None:
    task = made_task()
    found = task.losses(task.model, task.batch(0, 0, 2))
    found["total"].backward()
    assert float(found["keypoints"]) > 0
    lacking = {name for name, p in task.model.named_parameters() if p.grad is None}
    assert lacking == {name for name in dict(task.model.named_parameters()) if ".trunk." in name}


@needs_anny
def test_of_a_trunk_the_layers_of_strides_from_16_on_may_learn() -> None:
    """Its keypoints, too: how far off the joints are reaches the heads that find them."""
    task = made_task(trunk_rate=0.1)
    task.freeze(threads=1)
    batch = task.batch(0, 0, 2)
    assert isinstance(batch.maps, LowerMaps)
    task.losses(task.model, batch)["keypoints"].backward()
    learned = {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    trunk = {name.removeprefix("backbone.trunk.") for name in learned if ".trunk." in name}
    assert {"blocks.9.expand.weight", "top.weight", "steps.2.side.weight", "heads.1.last.weight"} <= trunk
    assert "heads.2.last.weight" in trunk
    assert not any(name.startswith(("stem.", "first.", *(f"blocks.{k}." for k in range(9)))) for name in trunk)
    assert task.rate("backbone.trunk.top.weight") == 0.1
    assert task.config()["trunk_rate"] == 0.1


@needs_anny
def test_maps_made_with_the_batch_are_those_of_its_pictures() -> None:
    task = made_task()
    batch = task.batch(0, 0, 2)
    task.freeze(threads=1)
    given = task.batch(0, 0, 2)
    assert batch.maps is None
    assert given.maps is not None
    with torch.no_grad():
        one, other = (task.losses(task.model, each) for each in (batch, given))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=1e-3, rtol=5e-3, msg=name)


@needs_anny
def test_pictures_are_used_again_and_a_resumed_run_uses_the_same() -> None:
    task = made_task(reuse=2)
    batches = [task.batch(3, step, 6) for step in range(REUSED_AFTER + 2)]
    for k in (0, 1):
        first, later = batches[k].image, batches[REUSED_AFTER + k].image
        assert torch.equal(first[:3], later[3:])
        assert not torch.equal(first[:3], first[3:])
        assert not torch.equal(first[:3], later[:3])
    again = made_task(reuse=2)
    for step in (REUSED_AFTER, REUSED_AFTER + 1):
        assert torch.equal(again.batch(3, step, 6).image, batches[step].image)
    assert "reuse" in again.config()
    assert "reuse" not in made_task().config()


@needs_anny
def test_pictures_are_made_once_whatever_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 pictures in 3 parts 6 are new, 5 and 5 are the first of those of 2 and 4 steps before."""
    monkeypatch.setattr(multihmr, "REUSED_AFTER", 2)
    task, other = made_task(reuse=3), made_task(reuse=3)
    make, calls = task.images.batch, list[tuple[int, int, int]]()

    def counted(seed: int, step: int, size: int) -> PeopleBatch:
        calls.append((seed, step, size))
        return make(seed, step, size)

    monkeypatch.setattr(task.images, "batch", counted)
    batches = [task.batch(3, step, 16) for step in range(9)]
    begun = [[(3, step, 6), *((3 + k, step, 5) for k in (1, 2) if step < 2 * k)] for step in range(9)]
    assert calls == [call for step in begun for call in step]
    assert sorted(task._kept) == [(3, step) for step in (5, 6, 7, 8)]
    for step in range(4, 9):
        for k, rows in ((1, slice(6, 11)), (2, slice(11, 16))):
            assert torch.equal(batches[step].image[rows], batches[step - 2 * k].image[:5])
    for step in (7, 8):  # as in a run that is resumed
        again = other.batch(3, step, 16)
        assert torch.equal(again.image, batches[step].image)
        assert torch.equal(again.rotations, batches[step].rotations)


@needs_anny
def test_no_picture_is_kept_where_its_maps_are() -> None:
    task = made_task(reuse=2)
    task.freeze(threads=1)
    task.batch(3, 0, 2)
    (kept,) = task._kept.values()
    assert kept.image.shape == (1, 3, 0, 0)
    assert kept.maps is not None
    assert len(kept.to("cpu")) == len(kept.maps.fine) == 1


def test_options_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(batch: int, reuse: int = 1, imagined: int = 0) -> TrainMultihmr:
        options = TrainOptions(batch=batch)
        more = {"network": SMALL, "backbone_weights": GRAPH, "motions": tmp_path}
        return TrainMultihmr(data=tmp_path, out=tmp_path, train=options, reuse=reuse, imagined=imagined, **more)

    assert made(batch=3, reuse=3).reuse == 3
    with pytest.raises(HumanrtError, match=r"--reuse is 3, but --batch 2: .*; give no more than the batch"):
        made(batch=2, reuse=3)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    assert made(batch=4, imagined=6).imagined == 6
    with pytest.raises(HumanrtError, match="--imagined is 5, of all 2 processes together; give a multiple of 2"):
        made(batch=4, imagined=5)


@needs_anny
def test_each_process_has_its_own_pictures_and_people_without_pictures() -> None:
    task = made_task()
    task.imagined, task.imagined_people = ImaginedPeople(PoseSource([])), 6
    batch = task.batch(0, 0, 2)
    parts = [Processes(rank, 2, torch.device("cpu")).part(batch) for rank in (0, 1)]
    for rank, part in enumerate(parts):
        assert part.imagined is not None
        assert batch.imagined is not None
        assert torch.equal(part.image, batch.image[rank : rank + 1])
        assert torch.equal(part.imagined.noise, batch.imagined.noise[3 * rank : 3 * rank + 3])
    with torch.no_grad():
        whole, *halves = (float(task.losses(task.model, one)["imagined"]) for one in (batch, *parts))
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-4)


@needs_anny
def test_the_record_has_what_matters_and_no_defaults_that_were_added() -> None:
    task = made_task()
    before = task.config()
    assert not {"keypoints", "imagined", "posed", "beside"} & before["weights"].keys()
    assert "corrections" not in before["settings"]
    assert made_task(settings=CORRECTS).config()["settings"]["corrections"] == 2
    assert before["weights"]["marks"] == 5.0
    assert not {"motions", "imagined_people"} & before.keys()
    task.weights = Weights(keypoints=3.0)
    assert task.config()["weights"]["keypoints"] == 3.0
    assert "imagined" not in task.config()["weights"]
    still = Motion(30.0, np.zeros((40, 3)), np.tile(np.eye(3), (40, 24, 1, 1)), "standing")
    for motions, frames in (([still], 40), ([still, still], 80)):
        task.imagined, task.imagined_people = ImaginedPeople(PoseSource(motions)), 4
        assert task.config()["motions"] == {"recordings": len(motions), "frames": frames}
    assert task.config()["imagined_people"] == 4


@needs_anny
def test_slots_that_nobody_needs_do_not_change_the_losses() -> None:
    task = made_task()
    batch = task.batch(0, 0, 2)
    trimmed = batch.trimmed()
    assert (batch.cells.shape[1], trimmed.cells.shape[1]) == (12, 1)
    none = replace(batch, valid=torch.zeros_like(batch.valid)).trimmed()
    assert none.cells.shape[1] == 1
    with torch.no_grad():
        assert torch.isfinite(task.losses(task.model, none)["total"])


@pytest.mark.slow  # 30 s
@needs_anny
def test_it_is_exported_like_any_other(model: AnnyHmr, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "weights.pt", model, {"licence": "Apache-2.0", "data": "none"})
    command = ["multihmr", str(checkpoint), "--body", "anny", "--out", str(tmp_path / "out"), "--topology", "10pc"]
    assert cli.main([*command, "--max-people", "2", "--small"]) == 0
    bundle = load_bundle(tmp_path / "out", task="people")
    assert "MoveNet" in (bundle.path / "NOTICE.txt").read_text()


def of_training(**task: object) -> dict[str, str]:
    return {"training": json.dumps({"task": task})}


@pytest.mark.parametrize(
    ("about", "small", "says"),
    [
        (of_training(), True, "its weights unchanged but for their rounding to 8 bits."),
        (of_training(), False, "its weights unchanged but for the rounding to 8 bits by `humanrt-export multipose`."),
        (of_training(trunk_rate=0.1), True, "training has changed the weights of its layers at strides of 16 and 32"),
        (of_training(trunk_rate=0.1), False, "training has changed the weights of its layers at strides of 16 and 32"),
        (of_training(trunk_before="learned"), True, "training has changed the weights"),
        (of_training(trunk_before="unknown"), True, "training has perhaps changed its weights"),
        ({"licence": "Apache-2.0"}, True, "training has perhaps changed its weights"),
        ({"training": "long ago"}, False, "training has perhaps changed its weights"),
    ],
)
def test_the_notice_says_what_was_changed(about: dict[str, str], small: bool, says: str) -> None:
    """As Apache-2.0 (4b) asks."""
    text = trunk_attribution("movenet14", about, small=small).replace("\n", " ")
    assert says in text
    assert "unchanged" not in text or "unchanged" in says


def test_the_notice_that_ships_is_that_of_its_training() -> None:
    bundle = load_bundle("multihmr-anny")
    about = bundle.manifest["provenance"]["weights"]
    notice = ATTRIBUTION + trunk_attribution("movenet14", about, small=True)
    assert (bundle.path / "NOTICE.txt").read_text() == notice


@needs_anny
@pytest.mark.parametrize(("about", "says"), [(of_training(trunk_rate=0.1), "learned"), ({}, "unknown")])
def test_what_is_trained_further_says_that_its_trunk_learned(
    model: AnnyHmr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: dict[str, str], says: str
) -> None:
    monkeypatch.setattr(multihmr, "Shards", lambda path: ShardsOfStanding())
    monkeypatch.setattr(PeopleTask, "freeze", lambda *_: None)  # which traces the trunk
    start = save_checkpoint(tmp_path / "weights.pt", model, about)
    options = TrainOptions(batch=1)
    config = TrainMultihmr(data=tmp_path, out=tmp_path, start_from=start, network=SMALL, train=options)
    task = make_task(config).config()
    assert task["trunk_before"] == says
    assert trunk_learned(of_training(**task)) is trunk_learned(about)
    rested = save_checkpoint(tmp_path / "rested.pt", model, of_training())
    assert "trunk_before" not in make_task(replace(config, start_from=rested)).config()


@needs_anny
def test_imagined_people_are_seen_as_they_are() -> None:
    """Without noise the head is given the projections of their joints, measured at the head, whose size it knows."""
    people = ImaginedPeople(PoseSource([])).batch(0, 1, 5)
    again = ImaginedPeople(PoseSource([])).batch(0, 1, 5)
    assert torch.equal(people.noise, again.noise)
    assert not torch.equal(people.rotations, ImaginedPeople(PoseSource([])).batch(0, 2, 5).rotations)
    exact = replace(people, noise=torch.zeros_like(people.noise), scale=torch.zeros_like(people.scale))
    body = made_task().body
    given = exact.given(body)
    joints = body(people.rotations, people.shape, people.translation).joints
    names = load_anny("10pc").joint_names
    wrist = joints[:, names.index("wrist.L")]
    metres = wrist[:, :2] / wrist[:, 2:] * people.translation[:, 2:]
    for found in (given.found[:, 0, COCO_17.index("left_wrist")], given.guessed[:, 0, JOINTS.index("wrist.L")]):
        torch.testing.assert_close(found, metres, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.exp(given.size[:, 0]), people.camera[:, 0, 0] / people.translation[:, 2])
    upright = torch.tensor([0.0, -1.0, 0.0])  # most stand: Anny's z points up in the picture
    assert ((people.rotations[:, 0, :, 2] @ upright) > 0.5).sum() >= 3


@needs_anny
def test_imagined_people_teach_what_reads_keypoints_and_nothing_else() -> None:
    task = made_task()
    task.imagined, task.imagined_people = ImaginedPeople(PoseSource([])), 4
    found = task.losses(task.model, task.batch(0, 0, 1))
    assert float(found["imagined"].detach()) > 0
    task.model.zero_grad()
    found["imagined"].backward()
    learned = {name for name, p in task.model.named_parameters() if p.grad is not None}
    assert {"head.pose.weight", "head.looks.0.place.0.weight", "head.regressed.weight"} <= learned
    assert not any(name.startswith(("backbone.", "detection.")) for name in learned)


@needs_anny
def test_joints_posed_within_the_network_are_the_bodys() -> None:
    people = ImaginedPeople(PoseSource([])).batch(0, 3, 40)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    body, names = made_task().body, load_anny("10pc").joint_names
    with torch.no_grad():
        own = PosedJoints(POSED, ACTIVE, "head")(people.rotations, (people.shape - low) / (high - low))
        joints = body(people.rotations, people.shape, people.translation).joints
    off = torch.linalg.vector_norm(own - (joints - people.translation[:, None])[:, indices(POSED, names)], dim=-1)
    assert off.mean() < 0.005
    assert off.max() < 0.03


@needs_anny
def test_a_head_that_corrects_begins_as_it_is_posed_and_learns_from_every_pose() -> None:
    task = made_task(settings=CORRECTS)
    head = task.model.head
    assert isinstance(head, KeypointHead)
    people = ImaginedPeople(PoseSource([])).batch(0, 1, 3)
    given = people.given(task.body)
    _, keypoints = head.imagine(given, people.camera)
    assert keypoints.posed is not None
    assert keypoints.posed.shape == (3, 1, CORRECTS.corrections + 1, len(JOINTS), 3)
    place = JOINTS.index("head")
    seen = keypoints.tangents[:, :, -1, place]
    torch.testing.assert_close(keypoints.posed[:, :, -1, place, :2] / keypoints.posed[:, :, -1, place, 2:], seen)
    last = keypoints.posed[:, :, -1].detach()
    every = torch.autograd.grad(keypoints.posed.square().sum((0, 1, 3, 4)).sum(), head.pose.weight, retain_graph=True)
    ends = torch.autograd.grad(keypoints.posed[:, :, -1].square().sum(), head.pose.weight)
    assert not torch.allclose(every[0], ends[0])  # the poses before teach, too
    head.eval()
    predictions, keypoints = head.imagine(given, people.camera)
    assert keypoints.posed is None  # nothing needs the last one
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    shape = low + (high - low) * predictions.shape[:, 0]
    joints = task.body(predictions.rotations[:, 0], shape, people.translation).joints
    wanted = joints[:, indices(POSED, load_anny("10pc").joint_names)]
    own = last[:, 0]
    torch.testing.assert_close(own - own[:, [place]], wanted - wanted[:, [place]], atol=0.03, rtol=0)
    found = task.losses(task.model.train(), task.batch(0, 0, 2))
    (found["posed"] + found["beside"]).backward()
    learned = {name for name, p in task.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {"head.correction.place.0.weight", "head.trusted.weight", "head.pose.weight"} <= learned


@needs_anny
def test_only_a_head_that_corrects_knows_that_nothing_is_outside_the_picture(model: AnnyHmr) -> None:
    K = default_intrinsics(1, 112)
    view = PersonView(torch.eye(3).expand(1, 1, 3, 3), K, torch.tensor([112.0, 112.0]))
    maps = model.maps(torch.zeros(1, 3, 112, 112))
    assert maps is not None
    dim = maps._replace(fine=torch.full_like(maps.fine, -1.0))  # logits of -4, above 0's nothing
    beside = torch.full((1, 1, 17, 2), 2.0)
    for settings, low, high in ((SMALL, 0.9, 1.1), (CORRECTS, -3.1, -2.9)):
        head = AnnyHmr(settings).head
        assert isinstance(head, KeypointHead)
        _, confidence = head._found(dim, view, beside, torch.full((1, 1, 1, 1), 1.0))
        assert low < float(confidence.min()) <= float(confidence.max()) < high


@needs_anny
def test_people_without_pictures_are_seen_as_wrongly_as_those_in_pictures() -> None:
    """Their keypoints are off by a part of the errors of one of these, whose confidence they have."""
    task = made_task(settings=CORRECTS)
    people = ImaginedPeople(PoseSource([])).batch(0, 1, 6)
    exact = replace(people, noise=torch.zeros_like(people.noise), scale=torch.zeros_like(people.scale))
    true = exact.given(task.body)
    errors = KeypointErrors(
        regressed=torch.randn(2, 17, 2),
        found=torch.randn(2, 17, 2),
        guessed=torch.randn(2, len(JOINTS), 2),
        size=torch.tensor([0.3, -0.2]),
        confidence=torch.randn(2, 17),
    )
    given = people.given(task.body, errors)
    rows = (people.chosen * 2).long()
    assert set(rows.tolist()) == {0, 1}
    torch.testing.assert_close(given.confidence[:, 0], errors.confidence[rows])
    torch.testing.assert_close(given.size[:, 0] - true.size[:, 0], errors.size[rows])
    scale = torch.exp(errors.size[rows])[:, None, None]
    off = given.found[:, 0] * scale - true.found[:, 0]
    torch.testing.assert_close(off, people.share[:, None, None] * errors.found[rows], atol=1e-4, rtol=1e-3)
    assert 0 <= float(people.share.min()) <= float(people.share.max()) <= 1
    nobody = KeypointErrors(*(value[:0] for value in errors))
    torch.testing.assert_close(people.given(task.body, nobody).found, people.given(task.body).found)


@needs_anny
def test_errors_of_keypoints_are_those_of_the_true_ones() -> None:
    task = made_task(settings=CORRECTS)
    batch = task.batch(0, 0, 2).trimmed()
    said = task.model.at(batch.image, batch.cells, batch.valid, batch.intrinsics)
    assert said.keypoints is not None
    keypoints = said.keypoints
    joints = task.body(batch.rotations[:, 0], batch.shape[:, 0], batch.translation[:, 0]).joints
    names = load_anny("10pc").joint_names
    seen = (joints @ keypoints.turn[:, 0])[:, indices(COCO_JOINTS, names)]
    depth = (batch.translation * keypoints.turn[..., 2]).sum(-1)
    size = torch.log(batch.intrinsics[:, 0, :1] / depth)
    true = seen[..., :2] / seen[..., 2:] * depth[..., None]
    exact = GivenKeypoints(true[:, None], true[:, None], keypoints.given.guessed, size, keypoints.given.confidence)
    errors = keypoint_errors(replace(keypoints, given=exact), batch, task.body)
    for error in (errors.found, errors.regressed, errors.size):
        torch.testing.assert_close(error, torch.zeros_like(error), atol=1e-5, rtol=0)
    off = replace(exact, found=exact.found + 0.1)
    found = keypoint_errors(replace(keypoints, given=off), batch, task.body).found
    torch.testing.assert_close(found, torch.full_like(found, 0.1), atol=1e-5, rtol=0)


@needs_anny
def test_a_head_that_corrects_starts_from_one_that_does_not(
    model: AnnyHmr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers with more inputs do not heed the new ones at first; of blocks, those that both have are taken over."""
    monkeypatch.setattr(multihmr, "Shards", lambda path: ShardsOfStanding())
    monkeypatch.setattr(PeopleTask, "freeze", lambda *_: None)
    start = save_checkpoint(tmp_path / "weights.pt", model, of_training())
    options = TrainOptions(batch=1)
    fewer = replace(CORRECTS, depth=1)
    config = TrainMultihmr(data=tmp_path, out=tmp_path, start_from=start, network=fewer, train=options)
    own = make_task(config).model.state_dict()
    before = model.state_dict()
    place = "head.looks.0.place.0.weight"
    assert torch.equal(own[place][:, :4], before[place])
    assert not own[place][:, 4:].any()
    assert torch.equal(own["head.pose.weight"], before["head.pose.weight"])
    assert own["head.correction.place.0.weight"].any()
    with pytest.raises(HumanrtError, match="another network"):
        make_task(replace(config, network=replace(fewer, mlp=128)))


def test_corrections_need_a_head_that_looks_for_keypoints() -> None:
    with pytest.raises(CheckpointError, match="corrections is 2; vitn14 has a head that makes none: give 0"):
        AnnyConfig(backbone="vitn14", image_size=112, corrections=2)
    with pytest.raises(CheckpointError, match="corrections is -1; movenet14 needs 0 or more"):
        replace(SMALL, corrections=-1)


@needs_anny
def test_keypoints_of_people_in_pictures_are_moved_towards_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """All the way where nothing is left of their errors, not at all where all is; errors are told as they were seen."""
    task = made_task(settings=CORRECTS)
    batch = task.batch(0, 0, 2).trimmed()
    true = true_keypoints(batch, task.body, 1.0)
    head, heard = task.model.head, list[GivenKeypoints]()
    assert isinstance(head, KeypointHead)
    think = head._thought

    def listening(view: PersonView, person: torch.Tensor, given: GivenKeypoints, seen: object) -> object:
        heard.append(given)
        return think(view, person, given, seen)

    monkeypatch.setattr(head, "_thought", listening)
    told = []
    for share in (None, 1.0, 0.0, 0.25):
        known = None if share is None else true._replace(share=torch.full_like(true.share, share))
        said = task.model.at(batch.image, batch.cells, batch.valid, batch.intrinsics, None, known)
        assert said.keypoints is not None
        told.append(said.keypoints.given)
    seen, same, none, some = (given.found for given in heard)
    torch.testing.assert_close(same, seen, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(some - none, 0.25 * (seen - none), atol=1e-4, rtol=1e-3)
    for given in told:
        torch.testing.assert_close(given.found, seen)
    exact = replace(said.keypoints, given=heard[2])
    off = keypoint_errors(exact, batch, task.body).found
    torch.testing.assert_close(off, torch.zeros_like(off), atol=1e-3, rtol=0)


@needs_anny
def test_a_part_of_the_people_is_seen_better() -> None:
    batch = made_task(settings=CORRECTS).batch(0, 0, 2)
    many = replace(batch, **{name: getattr(batch, name).repeat_interleave(50, 0) for name in ("rotations", "shape")})
    many = replace(many, translation=batch.translation.repeat_interleave(50, 0))
    many = replace(many, intrinsics=batch.intrinsics.repeat_interleave(50, 0))
    torch.manual_seed(0)
    share = true_keypoints(many, made_task().body, 0.25).share
    assert 0.7 < float((share == 1).float().mean()) < 0.8
    assert 0 <= float(share.min()) < 0.1
    task = made_task()
    assert "forced" not in task.config()
    task.forced = 0.25
    assert task.config()["forced"] == 0.25


@needs_anny
def test_true_keypoints_are_exact_under_autocast_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few millimetres are lost where bodies are posed in bfloat16."""
    task = made_task(settings=CORRECTS)
    task.forced = 1.0
    told: list[torch.Tensor] = []

    def noted(*given: Any) -> TrueKeypoints:
        told.append(true_keypoints(*given).pixels)
        return true_keypoints(*given)

    monkeypatch.setattr(multihmr, "true_keypoints", noted)
    batch = task.batch(0, 0, 2)
    with torch.no_grad():
        task.losses(task.model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            task.losses(task.model, batch)
    torch.testing.assert_close(told[1], told[0], atol=1e-3, rtol=0)
