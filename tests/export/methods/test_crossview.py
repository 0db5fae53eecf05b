"""Completion: what is hidden, what is guessed, what is kept; pairs of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from methods.picture_task import quiet
from torch import Tensor

from humanrt.errors import HumanrtError, SourceError
from humanrt_export.data.people.masking import coverage, hidden_count, hidden_patches
from humanrt_export.data.people.pairs import FolderPairs, Pair, PairArrays, PairBatch, VideoPairs, batch_of
from humanrt_export.networks.backbone import BACKBONES, DinoV2
from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr
from humanrt_export.runs import load_run
from humanrt_export.training.loop import TrainOptions, train
from humanrt_export.training.tasks.crossview import (
    CrossView,
    CrossViewConfig,
    CrossViewTask,
    completion_losses,
    patches,
    picture,
    save_backbone,
    sheet,
)

OPTIONS = TrainOptions(steps=6, batch=4, warmup=2, report_every=3, validate_every=3, average=0.9, seed=3)


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", (32, 2, 2))
        yield


def config() -> CrossViewConfig:
    return CrossViewConfig("tiny", image_size=56, width=32, depth=1, heads=1)


def pairs(count: int = 6, size: int = 56) -> PairArrays:
    """Smooth pictures, the second the mirrored first."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (count, 5, 5, 3)).astype(np.float32)
    first = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR) for one in coarse]).astype(np.uint8)
    person = generator.uniform(0, 1, (count, (size // 14) ** 2)).astype(np.float32)
    return PairArrays(first, np.ascontiguousarray(first[:, :, ::-1]), person)


# ---------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("count", [4, 64, 256, 1024])
def test_exactly_as_many_patches_are_hidden_as_asked(ratio: float, count: int) -> None:
    generator = np.random.default_rng(1)
    wanted = min(max(round(ratio * count), 1), count - 1)
    for bias in (0.0, 3.0, 100.0):
        person = generator.uniform(0, 1, count) * (generator.uniform(0, 1, count) < 0.3)
        hidden = hidden_patches(person, ratio, bias, generator)
        assert hidden.sum() == hidden_count(count, ratio) == wanted


def test_a_batch_hides_equally_many_in_every_picture() -> None:
    for ratio in (0.75, 0.9):
        batch = batch_of({"view": pairs(), "pose": pairs()}, ratio, 3.0, 0, 0, 5)
        assert batch.hidden.sum(1).tolist() == [round(ratio * 16)] * 5
        assert batch.kind.tolist() == [0, 0, 1, 1, 1]


def test_the_bias_hides_more_of_the_person_and_none_without_bias() -> None:
    person = np.r_[np.ones(200), np.zeros(800)]

    def share(bias: float) -> float:
        generator = np.random.default_rng(2)
        return float(np.mean([hidden_patches(person, 0.02, bias, generator)[:200].mean() for _ in range(2000)])) / 0.02

    # Of few draws, each is of the person with the odds (1 + bias) * 200 : 800.
    for bias in (0.0, 3.0):
        odds = (1 + bias) * 200 / ((1 + bias) * 200 + 800)
        assert share(bias) == pytest.approx(odds / 0.2, rel=0.03)


def test_coverage_is_the_part_of_each_patch() -> None:
    mask = np.zeros((28, 28), bool)
    mask[:7, 14:] = True
    assert coverage(mask, 14).tolist() == [0.0, 0.5, 0.0, 0.0]


# -------------------------------------------------------------------------------------------------- network


def test_patches_and_back_and_their_order() -> None:
    image = torch.rand(2, 3, 56, 56)
    cut = patches(image)
    assert cut.shape == (2, 16, 588)
    torch.testing.assert_close(picture(cut), image, rtol=0, atol=0)
    torch.testing.assert_close(cut[1, 5].view(14, 14, 3), image[1, :, 14:28, 14:28].permute(1, 2, 0), rtol=0, atol=0)


def test_the_loss_is_of_hidden_patches_normalised_one_by_one() -> None:
    image = torch.rand(3, 3, 56, 56)
    hidden = torch.from_numpy(
        np.stack([hidden_patches(np.zeros(16), 0.75, 0, np.random.default_rng(i)) for i in range(3)])
    )
    truth = patches(image)[hidden].view(3, 12, 588)
    exact = (truth - truth.mean(-1, keepdim=True)) / (truth.var(-1, keepdim=True) + 1e-6).sqrt()
    assert float(completion_losses(exact, image, hidden).max()) < 1e-10
    # Brighter patches, or ones of more contrast, are the same truth.
    torch.testing.assert_close(completion_losses(exact, 0.5 * image + 0.2, hidden), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(completion_losses(exact + 1, image, hidden), torch.ones(3))
    seen = image.clone()
    places = picture((~hidden)[..., None].expand(-1, -1, 588).float()).bool()
    seen[places] = 0.0
    assert float(completion_losses(exact, seen, hidden).max()) < 1e-10


@pytest.mark.parametrize("backbone", ["tiny", "vitn14"])  # of the latter, convolutions see patches
def test_what_is_hidden_is_not_seen_and_what_is_seen_matters(backbone: str) -> None:
    torch.manual_seed(0)
    model = CrossView(replace(config(), backbone=backbone)).eval()
    batch = batch_of({"view": pairs()}, 0.75, 0.0, 0, 0, 3)
    first, second, hidden = batch.first, batch.second, batch.hidden
    with torch.no_grad():
        told = model(first, second, hidden)
        assert told.shape == (3, 12, 588)
        cut = patches(first)
        changed = torch.where(hidden[..., None], torch.rand_like(cut), cut)
        torch.testing.assert_close(model(picture(changed), second, hidden), told, rtol=0, atol=0)
        changed = torch.where(hidden[..., None], cut, cut + 1)
        assert float((model(picture(changed), second, hidden) - told).abs().max()) > 1e-3
        assert float((model(first, second + 1, hidden) - told).abs().max()) > 1e-3


def test_a_backbone_sees_patches_in_any_order() -> None:
    torch.manual_seed(0)
    backbone = DinoV2("tiny", 56).eval()
    torch.nn.init.normal_(backbone.pos_embed)
    image = torch.rand(2, 3, 56, 56)
    order = torch.arange(16).flip(0).expand(2, -1)
    with torch.no_grad():
        turned = backbone.everything(image, order)[:, 1:]
        torch.testing.assert_close(turned, backbone(image).flip(1), rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- task


def test_total_is_the_sum_of_both_kinds() -> None:
    task = CrossViewTask(config(), {"view": pairs(), "pose": pairs(4)}, {"view": pairs()})
    batch = task.batch(0, 0, 6)
    losses = {name: float(value.detach()) for name, value in task.losses(task.model, batch).items()}
    guessed = task.model(batch.first, batch.second, batch.hidden)
    each = completion_losses(guessed, batch.first, batch.hidden)
    assert losses["view"] == pytest.approx(float(each[:3].mean().detach()))
    assert losses["pose"] == pytest.approx(float(each[3:].mean().detach()))
    assert losses["total"] == pytest.approx(losses["view"] + losses["pose"])


def test_it_trains_resumes_and_its_encoder_is_a_backbone_bit_for_bit(tmp_path: Path) -> None:
    def task(limit: int | None = None) -> CrossViewTask:
        class Cut(CrossViewTask):
            left = limit

            def losses(self, model: torch.nn.Module, batch: PairBatch) -> dict[str, Tensor]:
                if self.left == 0:
                    raise RuntimeError("power cut")
                self.left = None if self.left is None else self.left - 1
                return super().losses(model, batch)

        torch.manual_seed(1)
        return Cut(config(), {"view": pairs()}, {"view": pairs()})

    train(task(), tmp_path / "whole", OPTIONS, quiet)
    with pytest.raises(RuntimeError, match="power cut"):
        train(task(4), tmp_path / "cut", replace(OPTIONS, save_every=0.0), quiet)
    train(task(), tmp_path / "cut", OPTIONS, quiet)
    whole, cut = (load_run(tmp_path / run)[1] for run in ("whole", "cut"))
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=0, atol=0)

    file = save_backbone(tmp_path / "backbone.pt", task(), whole, {"licence": "Apache-2.0"})
    from humanrt_export.training.tasks.multihmr import load_backbone

    network = AnnyHmr(AnnyConfig(backbone="tiny", image_size=98, width=32, depth=1, heads=1, mlp=32))
    load_backbone(network.backbone, "tiny", file)
    own = {name.removeprefix("encoder."): value for name, value in whole.items() if name.startswith("encoder.")}
    assert own.keys() == network.backbone.state_dict().keys()
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, own[name])


def test_the_sheet_shows_holes_second_completion_and_truth() -> None:
    task = CrossViewTask(config(), {"view": pairs()}, {"view": pairs(3), "pose": pairs(2)})
    shown = sheet(task, task.model.eval())
    assert shown.shape == (5 * 56, 4 * 56, 3)
    columns = shown.reshape(5, 56, 4, 56, 3)
    batch = batch_of({"view": pairs(3)}, 0.75, 3.0, 12345, 0, 3)
    hidden = picture(batch.hidden[..., None].expand(-1, -1, 588).float())[:, 0].bool().numpy()
    truth, completed = columns[:3, :, 3], columns[:3, :, 2]
    assert np.array_equal(truth[~hidden], completed[~hidden])
    assert not np.array_equal(truth[hidden], completed[hidden])


# ---------------------------------------------------------------------------------------------------- pairs


def test_pairs_of_folders(tmp_path: Path) -> None:
    for folder, colour in (("first", 50), ("second", 200)):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png", f"only_{folder}.png"):
            cv2.imwrite(str(tmp_path / folder / name), np.full((30, 40, 3), colour, np.uint8))
    found = FolderPairs(tmp_path / "first", tmp_path / "second", 28)
    assert len(found) == 2
    assert found[1].first.shape == (28, 28, 3)
    assert (int(found[1].first.mean()), int(found[1].second.mean())) == (50, 200)
    assert found[0].person.tolist() == [0.0] * 4
    with pytest.raises(SourceError, match="no pictures with the same names"):
        FolderPairs(tmp_path / "first", tmp_path, 28)
    with pytest.raises(SourceError, match="no such folder"):
        FolderPairs(tmp_path / "first", tmp_path / "third", 28)


def test_pairs_of_a_video_are_as_far_apart_as_asked(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((20, 20, 3), 10 * number, np.uint8))
    found = VideoPairs(folder, 14, (3, 6))
    assert len(found) == 17
    apart = [int(pair.second.mean()) - int(pair.first.mean()) for pair in (found[i] for i in range(17))]
    assert set(apart) <= {30, 40, 50, 60}
    assert len(set(apart)) > 1
    with pytest.raises(SourceError, match="give a longer video"):
        VideoPairs(folder, 14, (30, 60))
    with pytest.raises(SourceError, match="smaller number first"):
        VideoPairs(folder, 14, (6, 3))


def test_pairs_in_files(tmp_path: Path) -> None:
    found = PairArrays.load(pairs().save(tmp_path / "pairs.npz"))
    assert np.array_equal(found.first, pairs().first)
    assert isinstance(found[2], Pair)
    (tmp_path / "pairs.npz").write_bytes(b"no")
    with pytest.raises(HumanrtError, match=r"pairs\.npz: cannot be read"):
        PairArrays.load(tmp_path / "pairs.npz")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"backbone": "vit"}, "unknown backbone `vit`"),
        ({"image_size": 100}, "multiple of 14"),
        ({"ratio": 1.0}, "between 0 and 1"),
        ({"width": 30}, "multiple of 4"),
    ],
)
def test_configurations_that_are_none_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(HumanrtError, match=says):
        CrossViewConfig(**{"backbone": "tiny", **settings})  # type: ignore[arg-type]
