"""Crops keep the truth; the small task learns; its command line composes methods and says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from anny_body.people_samples import make_sample

from humanrt.errors import HumanrtError
from humanrt_export import cli
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import AnnyData, cached_file, load_anny
from humanrt_export.data.people.crops import BONES, Crops, crops_of, turned
from humanrt_export.data.people.pairs import PairArrays, pairs_of
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.networks.encoders import NormedTrunk
from humanrt_export.networks.multihmr_anny import AnnyConfig, load_checkpoint
from humanrt_export.networks.trunk import PoseTrunk, trunk_weights
from humanrt_export.runs import load_run
from humanrt_export.synthetic.people import PeopleSample, ShardWriter
from humanrt_export.training.loop import TrainOptions, trained
from humanrt_export.training.methods.adversarial import Pgd, worst_case
from humanrt_export.training.methods.batch_norm import batch_norm_state
from humanrt_export.training.methods.pixels import pixels
from humanrt_export.training.methods.wrapped import sample_losses
from humanrt_export.training.tasks.crossview import CrossViewConfig, CrossViewTask, save_backbone
from humanrt_export.training.tasks.multihmr import TrainMultihmr, make_task
from humanrt_export.training.tasks.pose_crop import PoseCropConfig, PoseCropTask, Skeleton

SIZE = 56
GRAPH = Path(__file__).parents[3] / "engines" / "landmarks" / "body_landmarks.onnx.z"


@pytest.fixture(scope="module")
def data() -> AnnyData:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache; `pytest -m slow tests/export/anny_body` builds it")
    return load_anny("10pc")


@pytest.fixture(scope="module")
def samples(data: AnnyData) -> list[PeopleSample]:
    body = AnnyBody(data).eval()
    return [make_sample(body, 2, seed) for seed in range(6)]


@pytest.fixture(scope="module")
def crops(data: AnnyData, samples: list[PeopleSample]) -> Crops:
    return crops_of(samples, SIZE, data.joint_names)


@pytest.fixture(scope="module")
def file(crops: Crops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops.save(tmp_path_factory.mktemp("crops") / "studio.npz")


def test_crops_keep_poses_and_joints_together(data: AnnyData, crops: Crops) -> None:
    assert len(crops) == 12
    assert crops.image.shape == (12, SIZE, SIZE, 3)
    joints = Skeleton(data)(torch.from_numpy(crops.rotations), torch.from_numpy(crops.shape)).numpy()
    assert np.abs(joints - crops.joints).max() < 1e-4  # the skeleton is the body's, in the crop's own camera
    assert np.abs(crops.joints[:, 0]).max() == 0


def test_other_cameras_see_the_same_people(data: AnnyData, crops: Crops) -> None:
    found = turned(crops, np.random.default_rng(3))
    joints = Skeleton(data)(torch.from_numpy(found.rotations), torch.from_numpy(found.shape)).numpy()
    assert np.abs(joints - found.joints).max() < 0.006  # Anny's sides differ by so much
    assert (np.linalg.norm(found.joints - crops.joints, axis=-1).max(-1) > 0.02).all()


def test_what_other_cameras_see_is_where_their_labels_are(crops: Crops) -> None:
    size, side = 96, {name: BONES.index(f"wrist.{name}") for name in "LR"}
    drawn = np.zeros((len(crops), size, size, 3), np.uint8)
    for image, joints in zip(drawn, crops.joints, strict=True):  # a bright patch in the direction of the left wrist
        x, y = np.round(25 * joints[side["L"], :2] / np.linalg.norm(joints[side["L"], :2]) + size / 2).astype(int)
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    names = []
    for seed in range(4):
        seen = turned(replace(crops, image=drawn), np.random.default_rng(seed))
        for image, joints in zip(seen.image[..., 0].astype(float), seen.joints, strict=True):
            places = np.arange(size) - (size - 1) / 2
            spot = np.array([image.sum(0) @ places, image.sum(1) @ places])
            angles = {}
            for name, joint in side.items():  # in a mirror it is the right wrist
                x, y = joints[joint, :2]
                angles[name] = abs(np.arctan2(x * spot[1] - y * spot[0], x * spot[0] + y * spot[1]))
            names.append(min(angles, key=angles.__getitem__))
            assert angles[names[-1]] < 0.05
    assert 8 < names.count("L") < 40


def test_batch_norms_are_taken_out_of_convolutions_again(data: AnnyData, crops: Crops) -> None:
    larger = replace(crops, image=np.repeat(np.repeat(crops.image, 2, 1), 2, 2)[:, :96, :96])
    task = PoseCropTask(PoseCropConfig("landmark-cnn", 96), larger, larger, Skeleton(data))
    task.start_from(GRAPH)
    encoder = task.model.encoder
    assert isinstance(encoder, NormedTrunk)
    folded = PoseTrunk()
    folded.load_state_dict(trunk_weights(GRAPH))
    image = task.held_out_batch(12).image
    picture = image * encoder.gain + encoder.offset
    with torch.no_grad():
        (maps, whole), (wanted, as_a_whole) = encoder.eval().trunk(picture), folded.eval()(picture)
        for got, same in zip((*maps, whole), (*wanted, as_a_whole), strict=True):
            assert float((got - same).abs().max()) < 1e-4 * float(same.abs().max())
        # Measured on these pictures, norms that follow them see what they saw: training begins where it was.
        moving = encoder.train().trunk(picture)[1]
    assert float((moving - as_a_whole).abs().mean()) < 0.02 * float(as_a_whole.abs().mean())
    again = PoseCropTask(PoseCropConfig("landmark-cnn", 96), larger, larger, Skeleton(data))
    again.model.load_state_dict(task.model.state_dict())  # as a run that is read again
    with torch.no_grad():
        assert torch.equal(again.model.eval()(image), task.model.eval()(image))
    assert task.config()["backbone"] == str(GRAPH)
    norms = [name for name in batch_norm_state(task.model) if name.endswith("running_var")]
    assert len(norms) == sum(isinstance(module, torch.nn.Conv2d) for module in folded.modules()) > 60


def test_augmented_training_sees_other_views_of_the_same_people(tmp_path: Path, data: AnnyData, crops: Crops) -> None:
    config = PoseCropConfig("resnet", SIZE, width=8)
    plain, augmented = (PoseCropTask(config, crops, crops, Skeleton(data), more) for more in (False, True))
    one, two, same = plain.batch(1, 2, 8), augmented.batch(1, 2, 8), augmented.batch(1, 2, 8)
    assert torch.equal(one.shape, two.shape)  # the same people
    for name in ("image", "rotations", "joints"):
        assert not torch.equal(getattr(one, name), getattr(two, name))
        assert torch.equal(getattr(two, name), getattr(same, name))
    assert plain.config() != augmented.config()
    options = TrainOptions(steps=1, batch=4, report_every=1, validate_every=1)
    weights = trained(plain, tmp_path / "plain", options, lambda line: None)
    augmented.start_at(tmp_path / "plain")  # how it was trained does not matter, what it is does
    assert torch.equal(augmented.model.state_dict()["pose.weight"], weights["pose.weight"])
    other = PoseCropTask(replace(config, width=16), crops, crops, Skeleton(data))
    with pytest.raises(HumanrtError, match="another network"):
        other.start_at(tmp_path / "plain")


def test_crops_in_files(tmp_path: Path, crops: Crops) -> None:
    found = Crops.load(crops.save(tmp_path / "a.npz"))
    for name in ("image", "rotations", "shape", "joints"):
        np.testing.assert_array_equal(getattr(found, name), getattr(crops, name))
    np.savez(tmp_path / "b.npz", image=crops.image)
    with pytest.raises(HumanrtError, match="`rotations` is missing"):
        Crops.load(tmp_path / "b.npz")


def test_pairs_are_cut_out_about_the_same_person(samples: list[PeopleSample]) -> None:
    masked = [replace(one, mask=np.full(one.mask.shape, 2, np.uint8)) for one in samples]
    hidden = replace(masked[1], people=replace(masked[1].people, visible=np.array([0.2, 1.0], np.float32)))
    found = pairs_of([(masked[0], masked[1]), (masked[0], hidden)], SIZE)
    assert len(found) == 3  # of the second pair only the second person is seen in both
    assert found[0].person.max() == 0
    assert found[1].person.max() == 1


def test_the_truth_has_no_error_and_samples_are_told_apart(data: AnnyData, crops: Crops) -> None:
    task = PoseCropTask(PoseCropConfig("resnet", SIZE, width=8), crops, crops, Skeleton(data))
    batch = task.held_out_batch(12)

    def knows(image: torch.Tensor) -> torch.Tensor:
        return batch.rotations

    assert float(task.errors(knows, batch).max()) < 0.1  # type: ignore[arg-type]
    assert float(task.losses(knows, batch)["total"]) < 1e-3  # type: ignore[arg-type]
    each = task.sample_losses(task.model.eval(), batch)
    assert each.shape == (12,)
    assert float(each.mean()) == pytest.approx(float(task.losses(task.model, batch)["total"].detach()), rel=1e-5)
    # Before training: somebody who stands and faces the camera.
    assert task.error(task.model, crops) == pytest.approx(task._standing(crops), rel=0.01)


def test_it_learns(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "pose-crop", "--data", file, "--val", file, "--image-size", SIZE, "--width", 8, "--batch", 12]
    out = tmp_path / "run"
    more = ["--out", out, "--steps", 40, "--rate", 0.01, "--warmup", 5, "--average", 0.8, "--validate-every", 40]
    assert cli.main([str(word) for word in (*command, *more)]) == 0
    said = capsys.readouterr().out
    mpjpe, standing = (float(said.rpartition(f"{name} ")[2].split()[0]) for name in ("mpjpe", "standing"))
    assert mpjpe < 0.8 * standing

    # Batch norm only, adversarially, from there; one domain after the other with Meta-DR.
    more = ["--start", out, "--update", "batch-norm", "--adversarial", "n-fgsm", "--clean", 0.25, "--steps", 2]
    assert cli.main([str(word) for word in (*command, *more, "--out", tmp_path / "adapted")]) == 0
    before, after = (load_run(folder)[1] for folder in (out, tmp_path / "adapted"))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all("weight" not in name or before[name].ndim == 1 for name in changed)
    assert load_run(tmp_path / "adapted")[0]["task"]["adversarial"]["epsilon"] == pytest.approx(4 / 255)
    other = Crops.load(file).save(tmp_path / "night.npz")
    more = [
        "--in-turn",
        "--meta-dr",
        "--randomise",
        0.5,
        "--steps",
        2,
        "--out",
        tmp_path / "turns",
        "--data",
        other,
    ]
    capsys.readouterr()
    assert cli.main([str(word) for word in (*command, *more)]) == 0
    assert "forgotten" in capsys.readouterr().out
    assert {folder.name for folder in (tmp_path / "turns").iterdir()} == {"0-studio", "1-night"}


def test_samples_in_shards_train_both(
    tmp_path: Path, data: AnnyData, samples: list[PeopleSample], capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in (None, "view"):
        about = {"pairs": kind, "joint_names": list(data.joint_names)}
        ShardWriter(tmp_path / str(kind), about, size=6, quality=0).write(0, 0, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "vitn14", (32, 1, 1))
        small = ["--image-size", str(SIZE), "--steps", "2", "--batch", "2"]
        crossview = ["train", "crossview", "--view", str(tmp_path / "view"), "--backbone", "vitn14", *small]
        crossview += ["--width", "32", "--depth", "1", "--heads", "1", "--out", str(tmp_path / "pre")]
        assert cli.main(crossview) == 0
        assert (tmp_path / "pre" / "sheet.png").stat().st_size > 1000
        pose = ["train", "pose-crop", "--data", str(tmp_path / "None"), "--val", str(tmp_path / "None"), *small]
        pose += ["--encoder", "vitn14", "--backbone-weights", str(tmp_path / "pre" / "backbone.pt")]
        assert cli.main([*pose, "--out", str(tmp_path / "pose")]) == 0
        crossview[crossview.index("--view")] = "--pose"
        capsys.readouterr()
        assert cli.main(crossview) == 2
        assert "holds pairs `view`; make others: humanrt-export data people --pairs pose" in capsys.readouterr().err


def test_multihmr_is_trained_by_the_same_methods(
    tmp_path: Path, data: AnnyData, samples: list[PeopleSample], capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val"):
        ShardWriter(tmp_path / part, {}, size=6, quality=0).write(0, 0, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "vitn14", (32, 1, 1))
        command = ["train", "multihmr", "--data", str(tmp_path), "--backbone", "vitn14", "--image-size", "98"]
        command += ["--width", "32", "--depth", "1", "--heads", "1", "--mlp", "32", "--steps", "2", "--batch", "2"]
        methods = ["--adversarial", "n-fgsm", "--meta-dr", "--second-order", "--randomise", "0.5"]
        assert cli.main([*command, *methods, "--out", str(tmp_path / "run")]) == 0
        assert "single_step_gap" in capsys.readouterr().out
        description = load_run(tmp_path / "run")[0]["task"]
        assert description["adversarial"]["method"] == "n-fgsm"
        assert description["meta_dr"]["second_order"]
        model, _ = load_checkpoint(tmp_path / "run")  # like any other training
        assert model.config.image_size == 98
        network = AnnyConfig("vitn14", 98, width=32, depth=1, heads=1, mlp=32)
        out, options = tmp_path / "run", TrainOptions(steps=2, batch=2)
        task = make_task(TrainMultihmr(data=tmp_path, out=out, network=network, train=options))
        batch = task.held_out_batch(3)
        found = worst_case(task, task.model.eval(), batch, Pgd(8 / 255, steps=2, restarts=2))
        assert float((pixels(found.image) - pixels(batch.image)).abs().max()) <= 8 / 255 + 1e-5
        assert (sample_losses(task, task.model, found) > sample_losses(task, task.model, batch)).all()


def test_a_pre_trained_backbone_is_what_training_begins_with(tmp_path: Path, data: AnnyData, crops: Crops) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "vitn14", (32, 1, 1))
        config = CrossViewConfig("vitn14", SIZE, 32, 1, 1)
        nothing = PairArrays(crops.image, crops.image, np.zeros((12, 16), np.float32))
        pre = CrossViewTask(config, {"view": nothing}, {})
        path = save_backbone(tmp_path / "backbone.pt", pre, pre.model.state_dict(), {})
        task = PoseCropTask(PoseCropConfig("vitn14", SIZE), crops, crops, Skeleton(data))
        task.start_from(path)
        for name, value in task.model.encoder.backbone.state_dict().items():
            assert torch.equal(value, pre.model.encoder.state_dict()[name])
        more = CrossViewTask(config, {"view": nothing}, {})  # and what it may go on with
        more.start_from(path)
        for name, value in more.model.encoder.state_dict().items():
            assert torch.equal(value, pre.model.encoder.state_dict()[name])
        assert more.config()["start"] == str(path)
        with pytest.raises(HumanrtError, match="there are no published weights of resnet"):
            PoseCropTask(PoseCropConfig("resnet", SIZE), crops, crops, Skeleton(data)).start_from(path)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--image-size", "20"], "--image-size is 20; it must be 28 px or more"),
        (["--image-size", "112"], "its crops are 56 px, not 112"),
        (["--encoder", "vitn14", "--image-size", "57"], "not 57; choose that --image-size"),
        (["--encoder", "landmark-cnn"], "the size is 56; landmark-cnn needs a multiple of 32"),
        (["--encoder", "mediapipe14"], "mediapipe14 starts from a trained trunk; give --backbone-weights"),
        (["--width", "0"], "must be at least 1"),
        (["--adversarial", "n-fgsm", "--epsilon", "300"], "epsilon is"),
        (["--start", "nowhere", "--backbone-weights", "nothing"], "give only one"),
        (["--encoder", "vitn14", "--update", "batch-norm"], "no batch norm to train"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    command = ["train", "pose-crop", "--data", str(file), "--val", str(file), "--out", str(tmp_path / "run")]
    assert cli.main([*command, "--image-size", str(SIZE), *more]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_widths_that_make_onednn_write_beyond_its_memory_are_refused() -> None:
    for width in (4, 12, 0, -8):
        with pytest.raises(HumanrtError, match="multiple of 8"):
            PoseCropConfig("resnet", SIZE, width=width)
