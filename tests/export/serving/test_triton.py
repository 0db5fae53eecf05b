"""Model repositories of Triton: the ensemble, executed as its description says, equals the runtime; so do sequences."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs humanrt[export]")

import onnxruntime  # noqa: E402

import humanrt  # noqa: E402
import humanrt_export.serving.repository  # noqa: E402
from command_line import refused  # noqa: E402
from humanrt.bundle import load_bundle  # noqa: E402
from humanrt.data import CLIP, PEOPLE_CLIP  # noqa: E402
from humanrt.errors import OutputError  # noqa: E402
from humanrt.outputs.record import json_line  # noqa: E402
from humanrt.posebert.stream import Observation, PoseBERTStream  # noqa: E402
from humanrt.tasks import open_hands  # noqa: E402
from humanrt_export.cli import main  # noqa: E402
from humanrt_export.serving.repository import ServingOptions, write_repository  # noqa: E402

NAME = "multihmr-anny"
TYPES = {"TYPE_FP32": np.float32, "TYPE_FP64": np.float64, "TYPE_UINT8": np.uint8, "TYPE_INT32": np.int32,
         "TYPE_INT64": np.int64, "TYPE_BOOL": np.bool_, "TYPE_STRING": np.object_}  # fmt: skip


# --- what the server does


def parsed(text: str) -> dict[str, list[Any]]:
    """Read protobuf's text format: field -> all its values."""
    words = iter(re.findall(r'"[^"]*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', text))

    def value(word: str) -> Any:
        if word == "{":
            return message("}")
        return word[1:-1] if word[0] == '"' else int(word) if re.fullmatch(r"-?\d+", word) else word

    def message(end: str) -> dict[str, list[Any]]:
        fields: dict[str, list[Any]] = {}
        for name in words:
            if name == end:
                break
            if name == ",":
                continue
            word = next(words)
            word = next(words) if word == ":" else word
            found = fields.setdefault(name, [])
            if word == "[":
                found += [value(one) for one in iter(lambda: next(words), "]") if one != ","]
            else:
                found.append(value(word))
        return fields

    return message("")


def check(config: Mapping[str, Any], kind: str, values: Mapping[str, Any]) -> None:
    """Check names, types and sizes, as the server does."""
    batch = config["max_batch_size"][0]
    described = {one["name"][0]: one for one in config[kind]}
    assert set(values) == set(described), config["name"]
    for name, one in described.items():
        dims = ([-1] if batch else []) + one["dims"]
        assert values[name].dtype == TYPES[one["data_type"][0]], name
        assert len(dims) == values[name].ndim, (name, dims, values[name].shape)
        assert all(size in (-1, there) for size, there in zip(dims, values[name].shape, strict=True)), (name, dims)


class Server:
    """Runs the models of a repository as their descriptions say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configs = {path.parent.name: parsed(path.read_text()) for path in folder.glob("*/config.pbtxt")}
        self._python: dict[str, Any] = {}

    def __call__(self, name: str, values: Mapping[str, Any], *, start: bool = False) -> dict[str, Any]:
        config = self.configs[name]
        check(config, "input", values)
        if config.get("platform") == ["ensemble"]:
            tensors = dict(values)
            for step in config["ensemble_scheduling"][0]["step"]:
                inputs = {one["key"][0]: tensors[one["value"][0]] for one in step["input_map"]}
                outputs = self(step["model_name"][0], inputs)
                tensors |= {one["value"][0]: outputs[one["key"][0]] for one in step["output_map"]}
            outputs = {one["name"][0]: tensors[one["name"][0]] for one in config["output"]}
        elif config["backend"] == ["onnxruntime"]:
            session = onnxruntime.InferenceSession(str(self.folder / name / "1" / "model.onnx"))
            names = [one["name"][0] for one in config["output"]]
            outputs = dict(zip(names, session.run(names, dict(values)), strict=True))
        else:
            outputs = self._run_python(name, {**values, "START": np.array([start], np.int32)})
        check(config, "output", outputs)
        return outputs

    def _run_python(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        if name not in self._python:
            spec = importlib.util.spec_from_file_location(f"served_{name}", self.folder / name / "1" / "model.py")
            assert spec
            assert spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self._python[name] = module.TritonPythonModel()
            self._python[name].initialize({"model_repository": str(self.folder / name), "model_version": "1"})
        (response,) = self._python[name].execute([values])
        if response.error:
            raise ValueError(response.error)
        return {tensor.name: tensor.array for tensor in response.tensors}


@pytest.fixture(autouse=True)
def _python_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that the server gives to models in Python; requests are plain mappings."""
    module = ModuleType("triton_python_backend_utils")
    module.get_input_tensor_by_name = lambda request, name: SimpleNamespace(as_numpy=lambda: request[name])  # type: ignore[attr-defined]
    module.Tensor = lambda name, array: SimpleNamespace(name=name, array=array)  # type: ignore[attr-defined]
    module.TritonError = str  # type: ignore[attr-defined]
    module.InferenceResponse = lambda tensors, error=None: SimpleNamespace(tensors=tensors, error=error)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)


# --- tests


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    written = write_repository(load_bundle(NAME), out, ServingOptions(batch=4))
    assert written.notes == []
    assert set(written.models) == {NAME, *(f"{NAME}_{part}" for part in ("preprocess", "network", "body", "decode"))}
    return out


@pytest.fixture(scope="module")
def frames() -> list[Any]:
    with humanrt.open_source(PEOPLE_CLIP) as source:
        return [frame.image for frame in islice(source, 3)]


@pytest.mark.parametrize("known", [False, True])
def test_the_ensemble_equals_the_runtime(repository: Path, frames: list[Any], known: bool) -> None:
    image = frames[0]
    K = np.array([[700.0, 0, 320], [0, 700, 200], [0, 0, 1]], np.float32) * known
    with humanrt.MultiHMR(NAME, threads=1) as model:
        expected = model(image, K if known else None, threshold=0.1)
    assert len(expected) > 0
    threshold = np.full((1, 1), 0.1, np.float32)
    found = Server(repository)(NAME, {"frame": image, "intrinsics": K, "threshold": threshold})
    for name, values in found.items():
        there = getattr(expected, name)
        assert values.shape == there.shape
        assert np.abs(values - there).max(initial=0.0) <= 1e-4 * max(1.0, float(np.abs(there).max(initial=0.0))), name


def test_several_requests_in_one_run_of_the_network(repository: Path, frames: list[Any]) -> None:
    """What the server puts together comes apart again."""
    server = Server(repository)
    assert server.configs[f"{NAME}_network"]["dynamic_batching"][0]["preferred_batch_size"] == [2, 4]
    prepared = [
        server(f"{NAME}_preprocess", {"frame": image, "intrinsics": np.zeros((3, 3), np.float32)}) for image in frames
    ]
    feeds = [
        {"image": p["image"], "intrinsics": p["camera"], "threshold": np.full((1, 1), 0.1 + 0.2 * i, np.float32)}
        for i, p in enumerate(prepared)
    ]
    together = server(f"{NAME}_network", {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]})
    for index, feed in enumerate(feeds):
        for name, values in server(f"{NAME}_network", feed).items():
            np.testing.assert_allclose(together[name][index], values[0], atol=2e-4, err_msg=name)


def test_hands_of_a_sequence(tmp_path: Path) -> None:
    write_repository(load_bundle("hands"), tmp_path, ServingOptions(sequences=2))
    server = Server(tmp_path)
    (batching,) = server.configs["hands"]["sequence_batching"]
    assert [one["name"] for one in batching["control_input"]] == [["START"], ["END"]]
    with humanrt.open_source(CLIP) as source, open_hands(threads=1) as pipeline:
        seen = list(islice(source, 4))
        expected = [pipeline(frame) for frame in seen]
    for _ in range(2):  # the second sequence begins anew, though identities go on
        for index, (frame, result) in enumerate(zip(seen, expected, strict=True)):
            values = {"frame": frame.image, "t": np.array([frame.t])}
            (line,) = server("hands", values, start=index == 0)["record"]
            assert keypoints(line) == keypoints(json_line(result.record()))


def keypoints(line: bytes) -> Any:
    return re.findall(rb'"keypoints_2d":\[\[.*?\]\]', line)


def test_posebert_of_a_sequence(tmp_path: Path) -> None:
    write_repository(load_bundle("posebert-hand"), tmp_path, ServingOptions())
    server = Server(tmp_path)
    rng = np.random.default_rng(0)
    hand = rng.normal(0, 0.05, (21, 3)).astype(np.float32)
    with PoseBERTStream("posebert-hand", threads=1) as stream:
        for index in range(5):
            points = hand + rng.normal(0, 0.001, (21, 3)).astype(np.float32)
            (expected,) = stream.update(index / 30, {7: Observation(points, 1.0, "left")}).values()
            found = server(
                "posebert-hand",
                {
                    "ids": np.array([7]),
                    "keypoints": points[None],
                    "confidence": np.ones(1, np.float32),
                    "left": np.array([True]),
                    "t": np.array([index / 30]),
                },
                start=index == 0,
            )
            np.testing.assert_allclose(found["keypoints"][0], expected.keypoints, atol=1e-5)
            np.testing.assert_allclose(found["rotations"][0], expected.rotations, atol=1e-5)


def test_descriptions_are_what_tritonclient_reads(repository: Path, tmp_path: Path) -> None:
    """By Triton's own protocol: no field that it does not know, and what it needs of each kind of model."""
    service = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="pip install 'tritonclient[grpc]'")
    from google.protobuf import text_format

    for bundle in ("hands", "posebert-hand"):
        write_repository(load_bundle(bundle), tmp_path, ServingOptions())
    paths = [*repository.glob("*/config.pbtxt"), *tmp_path.glob("*/config.pbtxt")]
    assert len(paths) == 7
    configs = {path.parent: text_format.Parse(path.read_text(), service.ModelConfig()) for path in paths}
    for folder, config in configs.items():
        assert config.name == folder.name
        assert config.input
        assert config.output
        steps = config.ensemble_scheduling.step
        assert bool(steps) != bool(config.backend or config.platform == "onnxruntime_onnx"), folder.name
        assert {step.model_name for step in steps} <= {other.name for other in configs}
        given = {tensor.name for tensor in config.input}
        for step in steps:  # each takes what is there by then
            assert set(step.input_map.values()) <= given
            given |= set(step.output_map.values())
        assert not steps or {tensor.name for tensor in config.output} <= given
    assert any(config.ensemble_scheduling.step for config in configs.values())
    assert sum(config.HasField("sequence_batching") for config in configs.values()) == 2


def test_models_are_replaced_whole_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, plain = load_bundle("posebert-hand"), ServingOptions()
    name = write_repository(bundle, tmp_path, plain).name
    (tmp_path / "others").mkdir()
    (tmp_path / name / "1" / "of_before").write_text("")
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(humanrt_export.serving.repository, "_python", fail)
        with pytest.raises(OutputError, match="No space left"):
            write_repository(bundle, tmp_path, plain)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    write_repository(bundle, tmp_path, plain)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [one for one in before if one != "of_before"]


@pytest.mark.parametrize(
    ("arguments", "library", "message"),
    [
        (["hands", "absent.mp4"], "", "pip install 'tritonclient[grpc]'"),
        (["hands", "absent.mp4"], "grpc = None", "absent.mp4: not a readable picture or video"),
        (["hands"], "grpc = None", "client.py MODEL PICTURE"),
    ],
)
def test_mistakes_with_the_client_have_no_traceback(
    arguments: list[str], library: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "tritonclient").mkdir()  # before any that is installed
    (tmp_path / "tritonclient" / "__init__.py").write_text(library)
    client = tmp_path / "client.py"
    client.write_text(Path(humanrt_export.serving.repository.__file__).with_name("client.py").read_text())
    done = subprocess.run([sys.executable, client, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_graphs_whose_batch_is_fixed_are_served_one_by_one(tmp_path: Path) -> None:
    written = write_repository(load_bundle(NAME), tmp_path, ServingOptions(batch=1))
    server = Server(tmp_path)
    assert server.configs[f"{NAME}_network"]["max_batch_size"] == [0]
    assert server.configs[NAME]["input"][2]["dims"] == [1]
    assert written.notes == []


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triton", "posebert-hand", "--out", str(tmp_path), "--batch", "2", "--device", "gpu"]) == 0
    said = capsys.readouterr().out
    assert "tritonserver --model-repository" in said
    assert "--batch 2 changes nothing" in said
    assert "--device gpu changes nothing" in said
    assert "client.py" not in said  # asks with pictures and videos, not with keypoints
    assert main(["triton", "hands", "--out", str(tmp_path), "--sequences", "2"]) == 0
    said = capsys.readouterr().out
    assert "client.py hands FILE" in said
    assert "changes nothing" not in said
    assert "is for task `posegpt`; served are: hands, people, posebert" in refused(
        capsys, "triton", "posegpt", "--out", tmp_path, command=main
    )
