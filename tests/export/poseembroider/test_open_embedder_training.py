"""Training our own embedder: from what was seen in portraits and motion files to a bundle, resumed on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt import PoseEmbedder
from humanrt.bundle import Bundle
from humanrt.editing.words import word_ids
from humanrt.embedding.inputs import PICTURE_NUMBERS, pose_numbers
from humanrt.errors import BundleError, InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt_export.cli import main
from humanrt_export.conversion import begun_embedder
from humanrt_export.conversion.begun_embedder import embedder_of_bundle
from humanrt_export.conversion.pose_embedder import load_embedder
from humanrt_export.data.described.people import Described
from humanrt_export.training.tasks import poseembroider
from shipped import shipped

SMALL = ["--width", "16", "--hidden", "16", "--text", "8", "--core", "8", "--poses", "12", "--threads", "1"]
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "portraits").mkdir()
    poses = matrices_from_vectors(0.3 * RANDOM.standard_normal((24, 22, 3)))
    poses[:, 0] = np.diag([1.0, -1.0, -1.0]) @ poses[:, 0]
    (folder / "portraits" / "000000.npz").touch()  # what was seen in it is kept beside it
    seen = {
        "whole": RANDOM.standard_normal((2, 24, PICTURE_NUMBERS)).astype(np.float32),
        "half": RANDOM.standard_normal((24, PICTURE_NUMBERS)).astype(np.float32),
        "hidden": RANDOM.integers(0, 2, 24),
        "poses": poses.astype(np.float32),
    }
    with (folder / "portraits" / "000000.looks").open("wb") as stream:
        np.savez(stream, **seen)
    t = np.arange(90)[:, None] / 60
    moving = 0.3 * np.sin(2 * np.pi * RANDOM.uniform(0.3, 1, 165) * t + RANDOM.uniform(0, 6, 165))
    moving[:, :3] += (np.pi / 2, 0, 0)
    np.savez(folder / "clip.npz", poses=moving, trans=np.zeros((90, 3)), mocap_frame_rate=60.0)
    return folder


def arguments(data: Path, out: Path, steps: int, *more: str) -> list[str]:
    given = ["train", "poseembroider", "--portraits", str(data / "portraits"), "--data", str(data / "clip.npz")]
    given += ["--out", str(out), *SMALL, "--batch", "6", "--steps", str(steps), *more]
    return [*given, "--report-every", "2", "--validate-every", "100", "--warmup", "1"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poseembroider, "_SAMPLED", 200)
    monkeypatch.setattr(poseembroider, "_HELD", 8)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_from_data_to_a_bundle(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    assert main([*arguments(data, run, 3), "--minutes", "0"]) == 0  # stops after a step, and is gone on with
    assert main(arguments(data, run, 3)) == 0
    assert "goes on at step 1 of 3" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"contrast", "rotations", "heading"} <= lines[0].keys()
    assert {"single", "double", "heading"} <= lines[-1]["validation"].keys()
    assert main(["poseembroider", str(run), "--out", str(bundle)]) == 0
    network, _, _ = load_embedder(run)
    network.half().float()
    pose = matrices_from_vectors(0.3 * RANDOM.standard_normal((22, 3)))
    with PoseEmbedder(bundle, threads=1) as embedder:
        assert embedder.joint_names == SMPLX_BODY
        assert (embedder.open, embedder.together, embedder.width) == (True, 3, 16)
        with torch.inference_mode():
            wanted = network.read_pose(torch.from_numpy(pose_numbers(pose)[None]))[0].numpy()
        vector = embedder.encode_pose(pose)
        np.testing.assert_allclose(vector, wanted, atol=1e-4)
        np.testing.assert_allclose(embedder.encode_descriptors(pose_numbers(pose)[None])[0], vector, atol=1e-6)
        found = embedder.embed(pose=pose, text="the left arm is raised")
        assert found.given == ("pose", "text")
        rotations, shape = embedder.regress(found.token)
        assert (rotations.shape, shape.shape) == ((22, 3, 3), (0,))
        np.testing.assert_allclose(
            rotations @ rotations.swapaxes(1, 2), np.broadcast_to(np.eye(3), (22, 3, 3)), atol=1e-4
        )
        for wrong in ("lorem ipsum dolor sit amet", "", "the arms are not raised"):
            with pytest.raises(InvalidInputError, match="not understood"):
                embedder.encode_text(wrong)


@pytest.mark.usefixtures("small")
def test_two_stages(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(data, tmp_path / "run", 1, "--aligned")) == 0
    network, _, _ = load_embedder(tmp_path / "run")
    vectors = torch.nn.functional.normalize(torch.randn(2, 3, 16), dim=-1)
    _, predicted = network.fuse(vectors, torch.tensor([[True, False, True]]).expand(2, 3))
    mean = torch.nn.functional.normalize(vectors[:, 0] + vectors[:, 2], dim=-1)
    torch.testing.assert_close(predicted[:, 1], mean)
    second = ["train", "poseembroider", "--portraits", str(data / "portraits"), "--encoders", str(tmp_path / "run")]
    second += ["--out", str(tmp_path / "fused"), "--core", "8", "--batch", "6", "--steps", "2", "--threads", "1"]
    assert main([*second, "--warmup", "1"]) == 0
    fused, _, about = load_embedder(tmp_path / "fused")
    assert about["task"]["encoders"]["step"] == 1
    for name, value in network.text.state_dict().items():
        torch.testing.assert_close(fused.text.state_dict()[name], value)  # encoders stay as they are
    assert fused.fuse(vectors, torch.tensor([[True, False, True]]).expand(2, 3))[1].shape == (2, 3, 16)
    assert main([*second, "--data", str(data)]) == 2
    assert "leave --aligned and --data out" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_a_bundle_is_gone_on_with(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = embedder_of_bundle(str(shipped("pose-embedder")))
    given = arguments(data, tmp_path / "run", 2, "--aligned", "--begin", "pose-embedder", "--only-words")
    for name, size in (("--width", "128"), ("--hidden", "160"), ("--text", "48")):
        given[given.index(name) + 1] = size
    assert main(given) == 0
    network, words, about = load_embedder(tmp_path / "run")
    assert words[: len(begun.words)] == begun.words
    assert about["task"]["begun"]["only words"]
    now = network.state_dict()
    for name in ("image.first.weight", "pose.out.weight", "heading.0.weight", "body.2.weight"):
        torch.testing.assert_close(now[name], begun.weights[name])
    changed = now["text.blocks.0.mlp.0.weight"] - begun.weights["text.blocks.0.mlp.0.weight"]
    assert 0 < changed.abs().max() < 0.1
    with PoseEmbedder("pose-embedder", threads=1) as embedder, torch.inference_mode():
        network.load_state_dict(
            {**now, **{key: value for key, value in begun.weights.items() if key != "text.words.weight"}}
        )
        network.text.words.weight[: len(begun.words) + 3] = begun.weights["text.words.weight"]
        texts = [torch.from_numpy(one) for one in poseembroider.read_texts(["the left arm is raised"], word_ids(words))]
        wanted = embedder.encode_text("the left arm is raised")
        np.testing.assert_allclose(network.read_text(*texts)[0].numpy(), wanted, atol=1e-5)
    capsys.readouterr()
    assert main([*arguments(data, tmp_path / "other", 2, "--aligned", "--begin", "pose-embedder")]) == 2
    assert "has another size there" in capsys.readouterr().err
    assert main([*arguments(data, tmp_path / "other", 2, "--only-words")]) == 2
    assert "give --begin too" in capsys.readouterr().err
    assert main([*arguments(data, tmp_path / "other", 2, "--begin", "pose-embedder")]) == 2
    assert "for --aligned; give that too" in capsys.readouterr().err


def test_folders_without_enough_portraits_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for portraits, why in ((data / "portraits", "24 portraits; more than 256"), (tmp_path, "holds no portraits"),
                           (data, "holds other files than portraits")):  # fmt: skip
        for stage in (["--encoders", str(tmp_path / "run")], ["--data", str(data / "clip.npz")]):
            given = ["train", "poseembroider", "--portraits", str(portraits), *stage, "--out", str(tmp_path / "out")]
            assert main([*given, "--steps", "1"]) == 2
            assert why in capsys.readouterr().err


def test_equally_frequent_words_have_the_same_order_in_every_process() -> None:
    class Told:
        def __len__(self) -> int:
            return 1

        def text(self, random: object, index: int, *_: object) -> tuple[str, tuple[str, ...]]:
            return "legs arms head trunk arms", ()

    assert poseembroider.word_list(cast(Described, Told()), {}) == ("arms", "head", "legs", "trunk")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("heading.0.weight", None, "lack `heading.0.weight`"),
        ("image.first.bias", "image.first.biases", "lack `image.first.bias`"),
        ("body.2.weight", None, "lack `body.2.weight`"),
        (None, "pose.third.weight", "have an unknown `pose.third.weight`"),
    ],
)
def test_a_bundle_of_other_weights_is_not_begun_with(
    monkeypatch: pytest.MonkeyPatch, old: str | None, new: str | None, says: str
) -> None:
    read = begun_embedder._weights

    def changed(bundle: Bundle, graph: str) -> dict[str, torch.Tensor]:
        found = read(bundle, graph)
        value = found.pop(old, None) if old else torch.zeros(3)
        return found | ({new: value} if new and value is not None else {})

    monkeypatch.setattr(begun_embedder, "_weights", changed)
    with pytest.raises(BundleError, match=f"its graphs {says}, and are of another version") as refused:
        embedder_of_bundle(str(shipped("pose-embedder")))
    assert "\n" not in str(refused.value)
