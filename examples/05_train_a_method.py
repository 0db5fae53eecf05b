"""A training method around a task, both yours: python examples/05_train_a_method.py (extra `export`; writes run/)."""

from dataclasses import make_dataclass, replace

import numpy as np
import torch

from humanrt.data import TRUTH
from humanrt_export.training.loop import Batch, TrainOptions, train
from humanrt_export.training.methods.wrapped import Wrapped

Hands = make_dataclass("Hands", ["pixels", "metres"], bases=(Batch,), frozen=True)  # keypoints [B, 42] and [B, 63]
truth = np.load(TRUTH)
points = truth["keypoints_2d"][:, 0] / 300, truth["keypoints_3d"][:, 0]  # of the demo's hand: [N, 21, 2], [N, 21, 3]
HANDS = Hands(*(torch.tensor(p - p[:, :1]).float().flatten(1) for p in points))  # the wrist at 0


class Lift:  # a `Task`: keypoints in pixels to metres
    model = torch.nn.Sequential(torch.nn.Linear(42, 64), torch.nn.ReLU(), torch.nn.Linear(64, 63))

    def config(self):
        return {"task": "lift"}  # a run is resumed only with the same

    def batch(self, seed, step, size):
        return HANDS.rows(np.random.default_rng((seed, step)).integers(0, 250, size))

    def losses(self, model, batch):
        return {"total": (model(batch.pixels) - batch.metres).abs().mean()}

    def validate(self, model):
        return {"mm": 1000 * float(self.losses(model, HANDS.rows(slice(250, None)))["total"])}


class Noisy(Wrapped):  # the method: every batch's pixels are a little wrong
    def losses(self, model, batch):
        return super().losses(model, replace(batch, pixels=batch.pixels + 0.02 * torch.randn_like(batch.pixels)))


train(Noisy(Lift()), "run", TrainOptions(steps=300, batch=32, rate=3e-3, warmup=10, threads=1))
