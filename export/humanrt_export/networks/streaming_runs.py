"""The networks of `networks.streaming_gpt` from the folders of their trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError
from humanrt_export.networks.streaming_gpt import CoderConfig, MotionCoder, StreamingGpt, StreamingGptConfig
from humanrt_export.runs import load_run

__all__ = ["fingerprint", "load_coder", "load_gpt"]


def fingerprint(coder: MotionCoder) -> float:
    """Return a number that tells an auto-encoder's codes from those of another."""
    return round(float(coder.quantizer.codes.double().abs().sum()), 3)


def load_coder(path: Path) -> MotionCoder:
    """Return the auto-encoder of a run, for evaluation. HumanrtError if it is not one."""
    description, weights, _ = load_run(path)
    task = description.get("task", {})
    if task.get("network") != "posegpt-auto-encoder":
        raise HumanrtError(f"{path}: is a run of {task.get('network', 'something else')}; give that of an auto-encoder")
    model = MotionCoder(CoderConfig(**_known(CoderConfig, task["settings"])))
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    return model


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass from JSON, whose lists were tuples."""
    names = {field.name for field in fields(kind)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in names}


def load_gpt(path: Path) -> tuple[StreamingGpt, tuple[str, ...], Mapping[str, Any]]:
    """Return the GPT of a run, for evaluation, its labels, and what the run says of itself."""
    description, weights, step = load_run(path)
    task = description.get("task", {})
    if task.get("network") != "posegpt-gpt":
        raise HumanrtError(f"{path}: is a run of {task.get('network', 'something else')}; give that of a GPT")
    model = StreamingGpt(StreamingGptConfig(**_known(StreamingGptConfig, task["settings"])))
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False), tuple(task["labels"]), {**description, "step": step}
