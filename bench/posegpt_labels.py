"""Whether generated motion is what its label says: by a classifier that has seen real clips only.

Its features also give diversity and FID. Every fourth clip, or the last quarter of a long one, is kept to test it. It
sees joints, shaken by about the error of a reconstruction: a classifier of exact rotations knows subject 06 by the
constant angles of his skeleton, and none of his clips once they went through tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from humanrt import Motion, PoseGPT
from humanrt.motion.features import frames_from_motion
from humanrt_export.data.poses.labelled import FPS, JOINTS, LabelledClip, labels_of
from humanrt_export.training.tasks.posegpt import above_floor, joints_of
from posegpt_motion import motion_of

__all__ = ["FRAMES", "Classifier", "judged", "split", "trained"]

FRAMES = round(2.0 * FPS)
"""Of a motion that is classified."""
_LONG = 4 * FRAMES
_STEPS, _BATCH = 1200, 64
_OFFSET, _SHAKE = 0.03, 0.01
"""m (m/s, rad/s), what a window's numbers and each frame's are shaken by in training."""

Floats = NDArray[np.float32]


class Classifier(nn.Module):
    """Three convolutions over time, mean, and a layer.

    Args:
        labels: names.
        frames: [N, D] of `humanrt.motion.features`, by which what it sees is normalised.
        width: of its features.
    """

    def __init__(self, labels: Sequence[str], frames: Floats, width: int = 64) -> None:
        super().__init__()
        self.labels = tuple(labels)
        seen = _seen(torch.from_numpy(frames))
        self.register_buffer("mean", seen.mean(0))
        self.register_buffer("scale", seen.std(0).clamp(min=0.03))
        sizes = (seen.shape[-1], width, width, width)
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 5, stride=2, padding=2) for a, b in itertools.pairwise(sizes))
        self.head = nn.Linear(width, len(labels))

    def features(self, frames: Tensor) -> Tensor:
        """[B, T, D] -> [B, width]."""
        x = _seen(frames)
        if self.training:
            x = x + _OFFSET * torch.randn_like(x[:, :1]) + _SHAKE * torch.randn_like(x)
        x = ((x - self.mean) / self.scale).clamp(-5, 5).transpose(1, 2)
        for layer in self.layers:
            x = functional.gelu(layer(x))
        return x.mean(-1)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, D] -> logits [B, L]."""
        logits: Tensor = self.head(functional.dropout(self.features(frames), 0.3, self.training))
        return logits

    @torch.inference_mode()
    def seen(self, frames: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return the labels [B] and features [B, width] of motions [B, T, D]."""
        features = self.features(torch.from_numpy(frames))
        return self.head(features).argmax(-1).numpy(), features.numpy()


def _seen(frames: Tensor) -> Tensor:
    """Return joints above the floor in m, and speeds in m/s and rad/s, [..., 22 * 3 + 3], of frames [..., D]."""
    return torch.cat((above_floor(frames, joints_of(frames)).flatten(-2), frames[..., -3:]), dim=-1)


def split(clips: Sequence[LabelledClip]) -> tuple[list[tuple[Floats, str]], list[tuple[Floats, str]]]:
    """Return frames and labels of clips to train the classifier on, and of others to test it."""
    train, test = [], []
    for label in labels_of(clips):
        for number, clip in enumerate(one for one in clips if one.label == label):
            parts = (clip.frames, clip.mirrored)
            if len(clip.frames) >= _LONG:
                cut = 3 * len(clip.frames) // 4
                train += [(part[:cut], label) for part in parts]
                test.append((clip.frames[cut:], label))
            elif number % 4 == 3:
                test.append((clip.frames, label))
            else:
                train += [(part, label) for part in parts]
    return [one for one in train if len(one[0]) >= FRAMES], [one for one in test if len(one[0]) >= FRAMES]


def trained(train: Sequence[tuple[Floats, str]], seed: int = 0) -> Classifier:
    """Return a classifier of these clips; labels are drawn equally often."""
    together = np.concatenate([frames for frames, _ in train])
    labels = sorted({label for _, label in train})
    torch.manual_seed(seed)
    model = Classifier(labels, together)
    random = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    of = {label: [frames for frames, one in train if one == label] for label in labels}
    for _ in range(_STEPS):
        wanted = random.integers(len(labels), size=_BATCH)
        rows = [_window(of[labels[index]], random) for index in wanted]
        loss = functional.cross_entropy(model(torch.from_numpy(np.stack(rows))), torch.from_numpy(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _window(clips: Sequence[Floats], random: np.random.Generator) -> Floats:
    lengths = np.array([len(one) - FRAMES + 1 for one in clips], np.float64)
    clip = clips[random.choice(len(clips), p=lengths / lengths.sum())]
    start = int(random.integers(len(clip) - FRAMES + 1))
    return clip[start : start + FRAMES]


def cut(clips: Sequence[tuple[Floats, str]]) -> tuple[Floats, list[str]]:
    """Return windows [N, FRAMES, D], one after the other, with their labels."""
    rows, labels = [], []
    for frames, label in clips:
        for start in range(0, len(frames) - FRAMES + 1, FRAMES // 2):
            rows.append(frames[start : start + FRAMES])
            labels.append(label)
    return np.stack(rows), labels


def accuracy(model: Classifier, frames: Floats, labels: Sequence[str]) -> dict[str, float]:
    """Return the share of each label's windows that is recognised."""
    found = [model.labels[index] for index in model.seen(frames)[0]]
    return {
        label: float(np.mean([a == label for a, b in zip(found, labels, strict=True) if b == label]))
        for label in sorted(set(labels))
    }


def judged(
    gpt: PoseGPT,
    clips: Sequence[LabelledClip],
    held: Sequence[LabelledClip],
    samples: int,
    sampling: Mapping[str, Any],
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, list[Motion]]]:
    """Generate motions of every label and measure them; also returns the motions."""
    train, test = split(clips)
    model = trained(train)
    real, real_labels = cut(train[::2])  # without mirror images
    made: dict[str, list[Motion]] = {}
    for label in (one for one in gpt.labels if one in model.labels):
        made[label] = gpt.generate_several(samples, label, 3.0, seed=seed, **sampling)
    # The first second comes from nothing; what is judged is what it led to.
    frames = np.stack([_frames(motion.turned("y"))[-FRAMES:] for motions in made.values() for motion in motions])
    labels = [label for label, motions in made.items() for _ in motions]
    result: dict[str, Any] = {
        "generated": accuracy(model, frames, labels),
        "real, other clips": accuracy(model, *cut(test)),
        "clips": {label: sum(one == label for _, one in train) // 2 for label in model.labels},
    }
    through = [(_through(gpt, clip), clip.label) for clip in clips if len(clip.frames) >= FRAMES + gpt.factor]
    result["real, through tokens"] = accuracy(model, *cut(through))
    known = [(clip.frames, clip.label) for clip in held if clip.label in model.labels and len(clip.frames) >= FRAMES]
    if known:
        result["real, other people"] = accuracy(model, *cut(known))
    _, theirs = model.seen(real)
    _, ours = model.seen(frames)
    scale = theirs.std(0) + 1e-6
    result["diversity"] = {
        label: {
            "real": _spread(theirs[[one == label for one in real_labels]] / scale),
            "generated": _spread(ours[[one == label for one in labels]] / scale),
        }
        for label in made
    }
    balanced = _balanced(theirs, real_labels, list(made), samples)
    result["fid"] = {
        "generated": frechet(ours, balanced),
        "real halves": frechet(balanced[::2], balanced[1::2]),
        "sizes": [len(ours), len(balanced)],
    }
    return result, made


def _frames(motion: Motion) -> Floats:
    return frames_from_motion(motion.rotations[:, :JOINTS], motion.translation, motion.fps)


def _through(gpt: PoseGPT, clip: LabelledClip) -> Floats:
    """Return the frames of a clip, at most 20 s, after encoding and decoding."""
    motion = motion_of(clip).cut(0, round(20 * FPS)).turned(gpt.up)
    return _frames(gpt.decode(gpt.encode(motion.with_joints(gpt.joint_names), motion.translation)).turned("y"))


def _spread(features: Floats) -> float:
    """Return the mean distance of pairs."""
    if len(features) < 2:
        return float("nan")
    far = np.linalg.norm(features[:, None] - features, axis=-1)
    return float(far.sum() / (len(features) * (len(features) - 1)))


def _balanced(features: Floats, labels: Sequence[str], wanted: Sequence[str], count: int) -> Floats:
    random = np.random.default_rng(0)
    rows = [np.flatnonzero([one == label for one in labels]) for label in wanted]
    return np.concatenate([features[random.choice(row, count)] for row in rows if len(row)])


def frechet(one: Floats, other: Floats) -> float:
    """Return the Frechet distance of two sets of features [N, F], as Gaussians."""
    mean = one.mean(0).astype(np.float64) - other.mean(0)
    a, b = (np.cov(part.astype(np.float64), rowvar=False) for part in (one, other))
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(mean @ mean + np.trace(a) + np.trace(b) - 2 * cross)
