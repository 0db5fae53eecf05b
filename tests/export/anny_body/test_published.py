"""NAVER's Multi-HMR on Anny: the recorded case, the body by its definition, the export, and files told apart."""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import refusal, refuse_files_that_are_no_checkpoints, refuse_hostile_file
from multihmr_stand_ins import official_args, official_state
from numpy.typing import NDArray

from humanrt import MultiHMR, People
from humanrt.bundle import Bundle, load_bundle
from humanrt_export import cli
from humanrt_export.bodies.anny.model import PublishedRig, load_published_rig, published_rig_file
from humanrt_export.bodies.anny.published import PublishedBody, _from_y
from humanrt_export.conversion import multihmr_anny_published as published_export
from humanrt_export.conversion.multihmr_anny_published_checkpoint import load_published, published_name
from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint as load_smplx_checkpoint
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.networks.multihmr import ModelConfig
from humanrt_export.networks.multihmr_anny import AnnyHmr, save_checkpoint
from humanrt_export.networks.multihmr_anny_published import BONES, SHAPE, PublishedConfig, PublishedHmr
from humanrt_export.networks.rotations import matrices_from_vectors

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"
TURNING = tuple(bone for bone in range(BONES) if bone % 2 == 0 or bone == 103)
SLOTS = 3


# --- stand-ins ---


@pytest.fixture(scope="module")
def rig() -> PublishedRig:
    """A rig of random bones, some of which nearly point along -y, as Anny's do."""
    r = np.random.default_rng(5)
    parents = np.array([-1, *(int(r.integers(max(0, bone - 6), bone)) for bone in range(1, BONES))])
    names = tuple("root" if bone == 0 else "head" if bone == 103 else f"bone{bone}" for bone in range(BONES))
    along = r.standard_normal((BONES, 3)) * 0.1
    along[::5] = (0.001, -0.1, 0.002)
    weights = r.random((40, BONES)) ** 20
    faces = r.integers(0, 40, (30, 3)).astype(np.int32)
    faces[0, 0] = 39
    angle = r.uniform(-3, 3, BONES)
    rolls = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angle])
    return PublishedRig(
        names=names,
        parents=parents,
        faces=faces,
        corners=r.random((360, 4)),
        template=r.standard_normal((40, 3)) * 0.5,
        blend=r.standard_normal((4, 40, 3)).astype(np.float32) * 0.05,
        weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        head_template=r.standard_normal((BONES, 3)) * 0.5,
        head_blend=r.standard_normal((4, BONES, 3)) * 0.05,
        along_template=along,
        along_blend=r.standard_normal((4, BONES, 3)) * 1e-3,
        rolls=rolls,
    )


@pytest.fixture(scope="module")
def state() -> Iterator[dict[str, Any]]:
    """Tensors by the published names, of a small network whose outputs depend on the image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "dinov2_vitt14", (64, 2, 2))
        generator = torch.Generator().manual_seed(4)
        config = PublishedConfig("dinov2_vitt14", 98, TURNING, width=64, depth=2, heads=3, head_width=16, mlp=96)
        made: dict[str, Any] = {}
        for name, value in PublishedHmr(config).state_dict().items():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                noise = 1 + 0.1 * noise
            elif value.ndim >= 2 and name.endswith("weight"):
                noise = noise / value[0].numel() ** 0.5
            else:
                noise = 0.05 * noise
            made[published_name(name)] = noise
        made["encoder.fov_max"] = torch.tensor([np.pi])
        made["init_body_pose"] += torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(BONES)
        made["mlp_dist.2.bias"] = torch.tensor([4.0])
        made["useful_rotmat"] = torch.zeros(1, BONES)
        made["useful_rotmat"][0, list(TURNING)] = 1
        made["eye"] = torch.eye(3)[None]
        made["encoder.backbone.mask_token"] = torch.zeros(1, 64)
        made["body_model.anchors.age"] = torch.zeros(5)
        yield made


Save = Callable[..., Path]
ARGS = {
    "backbone": "dinov2_vitt14",
    "img_size": 98,
    "num_betas": 11,
    "simple_depth_encoding": 1,
    "train_return_type": "smplx",
    "xat_dim": 64,
    "xat_depth": 2,
    "xat_heads": 3,
    "xat_dim_head": 16,
    "xat_mlp_dim": 96,
    "xat_num_heads": 8,  # is ignored by the authors
}


@pytest.fixture
def save(state: dict[str, Any], tmp_path: Path) -> Save:
    """Saves the checkpoint with some keys changed (None: taken out) and some arguments changed."""

    def write(changes: dict[str, Any] | None = None, **args: Any) -> Path:
        merged = {**state, **(changes or {})}
        content = {
            "epoch": 1,
            "args": argparse.Namespace(**{**ARGS, **args}),
            "model_state_dict": {key: value for key, value in merged.items() if value is not None},
        }
        torch.save(content, tmp_path / "published.pt")
        return tmp_path / "published.pt"

    return write


# --- the body by its definition ---


def rotation_from_y(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least rotation from +y, by its axis and angle."""
    d = direction / np.linalg.norm(direction)
    axis = np.cross([0, 1, 0], d)
    angle = np.arctan2(np.linalg.norm(axis), d[1])
    vector = torch.from_numpy(axis / np.linalg.norm(axis) * angle)
    return matrices_from_vectors(vector).numpy()


def test_it_is_the_definition(rig: PublishedRig) -> None:
    """All 163 bones one after the other, nothing folded, in float64: against 83 bones that turn, in float32."""
    generator = torch.Generator().manual_seed(1)
    rotations = matrices_from_vectors(0.7 * torch.randn(2, len(TURNING), 3, generator=generator))
    shape, translation = torch.rand(2, len(SHAPE), generator=generator), torch.randn(2, 3, generator=generator)
    body = PublishedBody(rig, TURNING)
    posed = body(rotations, shape, translation)
    from humanrt_export.bodies.anny.phenotypes import corner_weights

    for person in range(2):
        k = (corner_weights(shape[person : person + 1, :6].double()) @ torch.from_numpy(rig.corners))[0].numpy()
        rest, heads, along = (
            template + np.einsum("k,kpc->pc", k, blend)
            for template, blend in (
                (rig.template, rig.blend),
                (rig.head_template, rig.head_blend),
                (rig.along_template, rig.along_blend),
            )
        )
        turns, places = np.zeros((BONES, 3, 3)), np.zeros((BONES, 3))
        for bone, parent in enumerate(rig.parents):
            D = np.eye(3)
            if bone in TURNING:
                D = rotations[person, TURNING.index(bone)].double().numpy()
            if parent < 0:
                turns[bone] = D
                continue
            U = rotation_from_y(along[bone]) @ rig.rolls[bone]
            turns[bone] = turns[parent] @ U @ D @ U.T
            places[bone] = places[parent] + turns[parent] @ (heads[bone] - heads[parent])
        moved = np.einsum("jab,jvb->jva", turns, rest[None] - heads[:, None]) + places[:, None]
        vertices = np.einsum("vj,jva->va", rig.weights.astype(float), moved)
        move = translation[person].numpy() - places[103]
        np.testing.assert_allclose(posed.joints[person], places + move, atol=2e-5)
        np.testing.assert_allclose(posed.vertices[person], vertices + move, atol=2e-5)


def test_the_last_five_numbers_of_the_shape_do_nothing(rig: PublishedRig) -> None:
    body = PublishedBody(rig, TURNING)
    rotations, shape = torch.eye(3).expand(1, len(TURNING), 3, 3), torch.full((1, len(SHAPE)), 0.4)
    other = shape.clone()
    other[:, 6:] = 0.9
    still, moved = (body(rotations, s, torch.zeros(1, 3)).vertices for s in (shape, other))
    torch.testing.assert_close(still, moved)


@pytest.mark.parametrize("y", [1.0, -1.0])
def test_bones_along_y_have_a_rest_orientation_too(y: float) -> None:
    directions = torch.tensor([[0.0, y, 0.0], [1e-6, y, 0.0], [0.0, y, 1e-4]]) * 0.05
    matrices = _from_y(directions)
    torch.testing.assert_close(matrices @ matrices.transpose(-1, -2), torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(3))
    torch.testing.assert_close(matrices[..., 1], directions / directions.norm(dim=-1, keepdim=True), atol=1e-6, rtol=0)


# --- files ---


def refused(path: Path) -> str:
    return refusal(load_published, path)


def test_every_tensor_has_its_place(state: dict[str, Any], save: Save) -> None:
    model = load_published(save())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[published_name(name)])
    assert model.config.turning == TURNING
    assert (model.config.heads, model.config.head_width) == (3, 16)
    assert load_published(save(img_size=np.int64(98))).config == model.config
    assert load_published(save({key: value.half() for key, value in state.items()})).config == model.config


@pytest.mark.parametrize(
    ("changes", "args", "words"),
    [
        ({"mlp_dist.2.bias": None}, {}, "missing `mlp_dist.2.bias`"),
        ({"mystery": torch.zeros(1)}, {}, "unexpected `mystery`"),
        ({"dec_pos_emb": torch.zeros(49, 8)}, {}, r"misshapen `dec_pos_emb` [49, 8] (need [49, 64])"),
        ({"init_body_pose": torch.full((1, 978), torch.nan)}, {}, "non-finite numbers in `init_body_pose`"),
        ({"useful_rotmat": torch.zeros(1, BONES)}, {}, "`useful_rotmat` must be [1, 163] of 0 and 1"),
        ({"useful_rotmat": torch.full((1, BONES), 0.5)}, {}, "`useful_rotmat` must be"),
        ({"useful_rotmat": None}, {}, "`useful_rotmat` must be"),
        ({}, {"simple_depth_encoding": 0}, "`simple_depth_encoding` is 0; only 1"),
        ({}, {"person_center": "pelvis"}, "person_center"),
        ({}, {"num_betas": 10}, "`num_betas` is 10; only 11"),
        ({}, {"backbone": "mediapipe14"}, "supported: dinov2_vitb14"),
        ({}, {"img_size": 100}, "it must be a multiple of 14"),
        ({}, {"xat_depth": 10**9}, "`xat_depth` is 1000000000; it must be a whole number from 1 to 64"),
        ({}, {"xat_heads": 8, "xat_dim_head": 64}, "misshapen `decoder.transformer.layers.0.0.fn.to_qkv.weight`"),
    ],
)
def test_what_is_another_network_is_refused_by_name(
    save: Save, changes: dict[str, Any], args: dict[str, Any], words: str
) -> None:
    message = refused(save(changes, **args))
    assert words in message
    assert len(message) < 500


@pytest.mark.parametrize("where", ["args", "model_state_dict", "other"])
def test_a_hostile_file_runs_nothing(tmp_path: Path, where: str) -> None:
    refuse_hostile_file(refused, tmp_path, {"args": argparse.Namespace(), "model_state_dict": {}}, where, True)
    refuse_files_that_are_no_checkpoints(refused, tmp_path)


def test_each_file_is_told_apart(
    save: Save, network: AnnyHmr, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three kinds of checkpoints through the command, each with the other body; and one of July 2024."""
    config = ModelConfig("dinov2_vits14", 42, 10)
    smplx, old = tmp_path / "smplx.pt", tmp_path / "old.pt"
    tensors = {key: value for key, value in official_state(config).items() if key.startswith("mlp_")}
    torch.save({"args": official_args(config), "model_state_dict": tensors}, smplx)
    torch.save({"state_dict_model": tensors}, old)
    own = save_checkpoint(tmp_path / "own.pt", network)
    anny, bodies = ("--body", "anny"), ("--body-models", str(tmp_path))
    for file, options, words in (
        (save(), bodies, "this is NAVER's Multi-HMR on Anny: export it with --body anny"),
        (own, bodies, "this is humanrt's own Multi-HMR on Anny: export it with --body anny"),
        (smplx, anny, "this is NAVER's Multi-HMR on SMPL-X: leave out --body anny and give --body-models DIR"),
        (old, anny, "the authors have replaced these files"),
        (old, bodies, "the authors have replaced these files"),
        (save(), (*anny, "--topology", "10pc"), "--topology: NAVER's Multi-HMR on Anny has only the full mesh"),
    ):
        assert cli.main(["multihmr", str(file), *options, "--out", str(tmp_path / "out")]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert "this is NAVER's Multi-HMR on Anny" in refusal(load_smplx_checkpoint, save())


# --- export ---


@pytest.fixture(scope="module")
def bundle(state: dict[str, Any], rig: PublishedRig, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Through the command, on the stand-in rig."""
    folder: Path = tmp_path_factory.mktemp("published")
    torch.save({"args": argparse.Namespace(**ARGS), "model_state_dict": state}, folder / "file.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_export, "load_published_rig", lambda: rig)
        arguments = ["multihmr", str(folder / "file.pt"), "--body", "anny", "--out", str(folder / "out")]
        assert cli.main([*arguments, "--max-people", str(SLOTS)]) == 0
    return load_bundle(folder / "out", task="people")


def test_the_runtime_gives_what_pytorch_gives(bundle: Bundle, state: dict[str, Any], rig: PublishedRig) -> None:
    config = PublishedConfig("dinov2_vitt14", 98, TURNING, width=64, depth=2, heads=3, head_width=16, mlp=96)
    network = PublishedHmr(config).eval()
    network.load_state_dict({name: state[published_name(name)] for name in network.state_dict()})
    image = torch.randn(1, 3, 98, 98, generator=torch.Generator().manual_seed(11))
    f = 49 / np.tan(np.radians(30))
    K = torch.tensor([[[f, 0, 49], [0, f, 49], [0, 0, 1.0]]])
    for fov, camera in ((None, K), ("auto", torch.zeros(1, 3, 3))):
        with torch.inference_mode():
            wanted = network(image, camera, torch.tensor([0.01]), SLOTS)
            body = PublishedBody(rig, TURNING)(wanted.rotations, wanted.shape, wanted.translation)
        people = MultiHMR(bundle, fov=fov, threads=1).infer(image.numpy(), threshold=0.01)[0]
        assert len(people) == int(wanted.valid.sum()) == SLOTS
        assert (np.diff(people.scores) <= 0).all()
        np.testing.assert_allclose(people.intrinsics, wanted.camera[0], rtol=1e-4)
        np.testing.assert_allclose(people.scores, wanted.scores[0], atol=1e-5)
        np.testing.assert_allclose(people.rotations, wanted.rotations[0], atol=1e-4)
        np.testing.assert_allclose(people.shape, wanted.shape[0], atol=1e-5)
        np.testing.assert_allclose(people.translations, wanted.translation[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(people.vertices, body.vertices[0], atol=1e-3)
        np.testing.assert_allclose(people.joints, body.joints[0], atol=1e-3)


def test_the_manifest_says_what_the_numbers_are(bundle: Bundle, rig: PublishedRig) -> None:
    assert bundle.name == "multihmr-anny-naver-98-t"
    body, manifest = bundle.setting("body"), json.loads((bundle.path / "manifest.json").read_text())
    assert body["bones"] == [rig.names[bone] for bone in TURNING]
    assert body["parents"][0] == -1
    assert all(0 <= parent < bone for bone, parent in enumerate(body["parents"]) if bone)
    assert "local-bone" in body["rotation_convention"]
    assert [phenotype["name"] for phenotype in body["phenotypes"]] == list(SHAPE)
    assert body["joint_names"] == list(rig.names)
    assert bundle.setting("camera")["default"] == "field_of_view"
    assert "NAVER" in manifest["licence"]
    assert (bundle.path / "LICENCE-NOTE.txt").is_file()
    assert all(verdict["passed"] for verdict in manifest["parity"].values() if "reason" not in verdict)


# --- the recorded case ---


class Case:
    """The case of shared/golden: settings, inputs and outputs, and its checkpoint's content."""

    def __init__(self) -> None:
        if not GOLDEN.is_dir():
            pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(GOLDEN))
            self.module: Any = importlib.import_module("stand_in_multihmr_anny")
        self.settings = json.loads((GOLDEN / "multihmr_anny_s.json").read_text())
        with np.load(GOLDEN / "multihmr_anny_s.npz") as arrays:
            self.expected: dict[str, NDArray[Any]] = dict(arrays)
        self.image: NDArray[np.float32] = self.module.image(self.settings)
        attached = np.concatenate([np.arange(*ends) for ends in self.settings["attached"]])
        self.compared = np.flatnonzero(attached % 16 == 0)
        """Of the visible vertices, those that were recorded; and `recorded`: where, of every 16th of all."""
        self.recorded = attached[self.compared] // 16

    def content(self) -> dict[str, Any]:
        """What the checkpoint holds."""
        state = {key: torch.from_numpy(value) for key, value in self.module.checkpoint(self.settings).items()}
        return {"args": argparse.Namespace(**self.settings["args"]), "model_state_dict": state}


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def published(case: Case) -> PublishedHmr:
    return load_published("golden", case.content())


def whole_rig() -> PublishedRig:
    if not published_rig_file().is_file():
        pytest.skip(f"Anny's body is not in the cache, and building it takes a minute: `pytest -m slow {__file__}`")
    return load_published_rig()


def test_the_network_computes_the_recorded_numbers(case: Case, published: PublishedHmr) -> None:
    wanted, image = case.expected, torch.from_numpy(case.image)
    limit = torch.from_numpy(wanted["det_thresh"].reshape(1)).float()
    with torch.inference_mode():
        everything = published.backbone(image)
        tokens = everything[:, 1:]
        found = published.detection(tokens, image, limit, 5)
        order = found.cells[0].argsort()
        decoded = published.head.look(tokens, found.cells, found.valid)
        camera = torch.from_numpy(wanted["K"]).float()
        angle = published.field_of_view(everything[:, 0])
        known, estimated = (published(image, K, limit, 8) for K in (camera, torch.zeros(1, 3, 3)))
    np.testing.assert_allclose(tokens[:, ::97, ::31], wanted["feat_probe"], atol=1e-4)
    np.testing.assert_allclose(everything[:, 0], wanted["class_token"], atol=1e-4)
    np.testing.assert_allclose(decoded[0, order], wanted["decoded"], atol=1e-4)
    np.testing.assert_allclose(angle, wanted["fov"][:, 0], atol=1e-5)
    np.testing.assert_allclose(estimated.camera, wanted["K_regressed"], rtol=1e-5)
    for output, prefix in ((known, ""), (estimated, "auto_")):
        people = output.valid[0].nonzero()[:, 0]
        people = people[output.cells[0, people].argsort()]
        cells = wanted["cell_row"] * published.config.side + wanted["cell_col"]
        np.testing.assert_array_equal(output.cells[0, people], cells)
        np.testing.assert_allclose(output.scores[0, people], wanted["scores"], atol=1e-5)
        np.testing.assert_allclose(output.locations[0, people], wanted["loc"], atol=0.01)
        np.testing.assert_allclose(output.rotations[0, people], wanted["rotmat_active"], atol=1e-5)
        np.testing.assert_allclose(output.shape[0, people], wanted["shape"], atol=1e-5)
        assert_places(output.translation[0, people].numpy(), wanted[prefix + "transl"])


def assert_places(got: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Within 1e-5 of the distance."""
    assert (np.linalg.norm(got - wanted, axis=-1) <= 1e-5 * np.linalg.norm(wanted, axis=-1)).all()


def test_the_body_computes_the_recorded_numbers(case: Case) -> None:
    assert_the_recorded_body(case, whole_rig())


def assert_the_recorded_body(case: Case, rig: PublishedRig) -> None:
    wanted, bones = case.expected, case.settings["bones"]
    assert list(rig.names) == bones
    assert rig.parents.tolist() == case.settings["parents"]
    body = PublishedBody(rig, [bones.index(bone) for bone in case.settings["active"]])
    with torch.inference_mode():
        posed = body(*(torch.from_numpy(wanted[key]) for key in ("rotmat_active", "shape", "transl")))
        still = torch.eye(3).expand(1, len(body.bones), 3, 3)
        neutral = body(still, torch.full((1, len(SHAPE)), 0.5), torch.zeros(1, 3)).joints[0]
    np.testing.assert_allclose(posed.vertices[:, case.compared], wanted["v3d"][:, case.recorded], atol=5e-5)
    np.testing.assert_allclose(posed.joints, wanted["j3d"], atol=5e-5)
    np.testing.assert_allclose(posed.joints[:, 0], wanted["transl_pelvis"], atol=5e-5)
    np.testing.assert_allclose(neutral - neutral[0], wanted["neutral_j"], atol=1e-5)


def assert_the_recorded_people(case: Case, people: People, prefix: str) -> None:
    wanted, order = case.expected, np.argsort(-case.expected["scores"])
    np.testing.assert_allclose(people.scores, wanted["scores"][order], atol=1e-5)
    np.testing.assert_allclose(people.rotations, wanted["rotmat_active"][order], atol=1e-5)
    np.testing.assert_allclose(people.shape, wanted["shape"][order], atol=1e-5)
    assert_places(people.translations, wanted[prefix + "transl"][order])
    np.testing.assert_allclose(people.joints_2d, wanted[prefix + "j2d"][order], atol=0.05 if prefix else 0.01)
    if not prefix:
        vertices = wanted["v3d"][order][:, case.recorded]
        np.testing.assert_allclose(people.vertices[:, case.compared], vertices, atol=5e-5)
        np.testing.assert_allclose(people.joints, wanted["j3d"][order], atol=5e-5)


@pytest.mark.slow
def test_checkpoint_to_runtime(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, the body built anew where Anny is installed: two minutes."""
    if importlib.util.find_spec("anny") is not None:
        monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
        assert_the_recorded_body(case, load_published_rig())
    else:
        whole_rig()
    torch.save(case.content(), tmp_path / "golden.pt")
    arguments = ["multihmr", str(tmp_path / "golden.pt"), "--body", "anny", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    limit = float(case.expected["det_thresh"])
    for fov, prefix in ((None, ""), ("auto", "auto_")):
        with MultiHMR(tmp_path / "out", fov=fov) as model:
            assert_the_recorded_people(case, model.infer(case.image, threshold=limit)[0], prefix)
