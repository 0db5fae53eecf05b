"""A training method around a task, both yours: python examples/05_train_a_method.py (extra `export`; writes run/)."""

from pathlib import Path

import numpy as np
import torch

from humanrt.commands.demo import TRUTH
from humanrt_export.training.loop import TrainOptions, train
from humanrt_export.training.methods.wrapped import Wrapped


class Lift:  # a `Task`: keypoints of the demo's hand, in pixels, to metres
    def __init__(self):
        truth = np.load(TRUTH)
        points = truth["keypoints_2d"][:, 0] / 300, truth["keypoints_3d"][:, 0]  # [N, 21, 2] and [N, 21, 3]
        self.pixels, self.metres = (torch.tensor(p - p[:, :1]).float().flatten(1) for p in points)  # the wrist at 0
        self.model = torch.nn.Sequential(torch.nn.Linear(42, 64), torch.nn.ReLU(), torch.nn.Linear(64, 63))

    def config(self):
        return {"task": "lift"}  # a run is resumed only with the same

    def batch(self, seed, step, size):
        picked = np.random.default_rng((seed, step)).integers(0, 250, size)
        return {"pixels": self.pixels[picked], "metres": self.metres[picked]}

    def losses(self, model, batch):
        return {"total": (model(batch["pixels"]) - batch["metres"]).abs().mean()}

    def validate(self, model):
        return {"mm": 1000 * float((model(self.pixels[250:]) - self.metres[250:]).view(-1, 21, 3).norm(dim=-1).mean())}


class Noisy(Wrapped):  # the method: every batch's pixels are a little wrong
    def losses(self, model, batch):
        return super().losses(model, batch | {"pixels": batch["pixels"] + 0.02 * torch.randn_like(batch["pixels"])})


train(Noisy(Lift()), Path("run"), TrainOptions(steps=300, batch=32, rate=3e-3, warmup=10, threads=1))
