"""PoseEmbroider computes what the authors' code computed on the same weights, stage by stage, and as a bundle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")
pytest.importorskip("onnx", reason="needs humanrt[export]")

import torch

from humanrt.embedding.embedder import PoseEmbedder, UntrainedCombinationWarning
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.conversion.poseembroider_checkpoint import load_checkpoints
from poseembroider_stand_ins import MODALITIES, golden

SUBSETS = [tuple(name for place, name in enumerate(MODALITIES) if subset >> place & 1) for subset in range(1, 8)]


def small_files(folder: Path, case: Any, module: Any, *kinds: str) -> list[Path]:
    """Write the recorded files whose names begin with ``kinds``; tensors depend on the place in the list of all."""
    kept = {name: keys if name.startswith(kinds) else {} for name, keys in case["checkpoints"].items()}
    module.save({**case, "checkpoints": kept}, str(folder))
    return [folder / f"{name}.pth" for name in kept if name.startswith(kinds)]


def test_the_core_and_the_heads(tmp_path: Path) -> None:
    """From the recorded embeddings on: the encoders take a minute (`slow`)."""
    case, recorded, module = golden()
    loaded = load_checkpoints(small_files(tmp_path, case, module, "poseembroider", "hpsestimator", "posevae"))
    assert loaded.pose is not None
    assert loaded.body is not None
    assert (loaded.image, loaded.text, loaded.writer, loaded.together) == (None, None, None, 2)
    core = loaded.embroider.core
    vectors = torch.stack([torch.from_numpy(recorded[f"{name}_emb"]) for name in MODALITIES], dim=1)
    seen = 0
    with torch.inference_mode():
        poses = torch.from_numpy(recorded["poses"])
        np.testing.assert_allclose(loaded.pose.trunk(poses), recorded["pose_backbone"], atol=1e-4)
        np.testing.assert_allclose(loaded.pose(poses), recorded["pose_emb"], atol=1e-5)
        for subset in SUBSETS:
            name = "_".join(subset)
            given = torch.tensor([[one in subset for one in MODALITIES]] * case["batch"])
            token = core(vectors, given)
            np.testing.assert_allclose(token, recorded[f"token_{name}"], atol=1e-4)
            # What is not given has no influence.
            noise = torch.where(given[..., None], vectors, torch.randn(vectors.shape))
            torch.testing.assert_close(core(noise, given), token, atol=1e-6, rtol=0)
            for one, predicted in zip(MODALITIES, core.predicted(token), strict=True):
                if (key := f"predicted_{one}_from_{name}") in recorded:
                    np.testing.assert_allclose(predicted, recorded[key], atol=1e-5)
                    seen += 1
            if f"rotmat_from_{name}" in recorded:
                rotations, shape = loaded.body(token)
                np.testing.assert_allclose(rotations, recorded[f"rotmat_from_{name}"], atol=3e-4)
                np.testing.assert_allclose(shape, recorded[f"betas_from_{name}"], atol=3e-4)
                seen += 1
    assert seen == 18


@pytest.mark.slow
def test_files_through_export_and_runtime(tmp_path: Path) -> None:
    from humanrt_export.conversion.poseembroider import export_published

    case, recorded, module = golden()
    (tmp_path / "files").mkdir()
    module.save(case, str(tmp_path / "files"))
    bundle = export_published(sorted((tmp_path / "files").iterdir()), tmp_path / "bundle")
    check_bundle(bundle, case, recorded, module)


def check_bundle(bundle: Path, case: Any, recorded: dict[str, np.ndarray], module: Any) -> dict[str, float]:
    """Compare everything that the runtime gives with what was recorded; returns the largest differences."""
    worst: dict[str, float] = {}

    def near(kind: str, found: np.ndarray, expected: np.ndarray, atol: float) -> None:
        np.testing.assert_allclose(found, expected, atol=atol, rtol=0)
        worst[kind] = max(worst.get(kind, 0.0), float(abs(found - expected).max()))

    pictures = module.images(case)
    with PoseEmbedder(bundle, threads=2) as embedder:
        for item in range(case["batch"]):
            ids = recorded["texts_tokens"][item][: recorded["texts_lengths"][item]]
            given = {
                "image": {"image": pictures[item]},
                "pose": {"pose": matrices_from_vectors(recorded["poses"][item])},
                "text": {"token_ids": ids},
            }
            vectors = {
                "image": embedder.encode_image(pictures[item]),
                "pose": embedder.encode_pose(recorded["poses"][item]),
                "text": embedder.encode_text(token_ids=recorded["texts_tokens"][item]),  # with its padding
            }
            for name, vector in vectors.items():
                near("embeddings", vector, recorded[f"{name}_emb"][item], 1e-5)
            for subset in SUBSETS:
                name = "_".join(subset)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    e = embedder.embed(**{key: value for one in subset for key, value in given[one].items()})
                assert [one.category for one in caught] == [UntrainedCombinationWarning] * (len(subset) == 3)
                near("tokens", e.token, recorded[f"token_{name}"][item], 1e-4)
                for one in MODALITIES:
                    if (key := f"predicted_{one}_from_{name}") in recorded:
                        near("predicted", e.predicted[one], recorded[key][item], 1e-5)
                if f"rotmat_from_{name}" in recorded:
                    rotations, shape = embedder.regress(e.token)
                    near("rotations", rotations, recorded[f"rotmat_from_{name}"][item], 3e-4)
                    near("betas", shape, recorded[f"betas_from_{name}"][item], 3e-4)
            token_b = embedder.embed(pose=recorded["poses_b"][item]).token
            for name in ("pose", "image"):
                token_a, about = embedder.embed(**given[name]).token, f"{name}_pose"
                near("z", embedder.memory(token_a, token_b), recorded[f"instruction_z_{about}"][item, 0], 1e-4)
                logits = embedder.instruction_logits(token_a, token_b, ids)[::3, ::211]
                expected = recorded[f"instruction_logits_{about}"][item]
                near("logits", logits, expected[: len(logits)], 1e-4)
                written = embedder.instruct(token_a, token_b, max_tokens=16)
                expected = recorded[f"instruction_ids_{about}"][item]
                np.testing.assert_array_equal(written, expected[: len(written)])
                assert not expected[len(written) :].any()
    return worst
