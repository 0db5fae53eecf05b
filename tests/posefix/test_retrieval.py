"""Poses and pairs of poses found by words, on small random networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt import PoseRetrieval
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices

Bundles = Callable[[str], Path]
A, B = matrices_from_vectors(0.5 * np.random.default_rng(4).standard_normal((2, 22, 3)))


@pytest.mark.parametrize("kind", [pytest.param("retrieval", marks=pytest.mark.slow), "retrieval-pairs"])
def test_unit_vectors_are_the_network_s(kind: str, posefix_bundle: Bundles) -> None:
    import torch

    from humanrt_export.conversion.posefix_checkpoint import load_posefix
    from humanrt_export.networks.posefix import Retrieval

    folder = posefix_bundle(kind)
    network = load_posefix(folder.parent / "best_model.pth")
    assert isinstance(network, Retrieval)
    a, b = (torch.from_numpy(vectors_from_matrices(pose)).float()[None] for pose in (A, B))
    ids = torch.tensor([[2, 6, 9, 3]])
    with PoseRetrieval(folder, threads=1) as model, torch.inference_mode():
        text = model.encode_text(token_ids=ids[0])
        np.testing.assert_allclose(text, network.embed_text(ids, ids > 0)[0], atol=1e-5)
        assert (model.width, model.temperature) == (16, pytest.approx(float(network.temperature)))
        if model.pairs:
            found, expected = model.encode_pair(A, B), network.embed_pair(a, b)[0]
            assert np.abs(model.encode_pair(B, A) - found).max() > 1e-3
            with pytest.raises(InvalidInputError, match="is for pairs of poses; use encode_pair"):
                model.encode_pose(A)
        else:
            found, expected = model.encode_pose(A), network.pose(a)[0]
            np.testing.assert_array_equal(text, model.encode_text("bend your"))
            with pytest.raises(InvalidInputError, match="is for single poses; use encode_pose"):
                model.encode_pair(A, B)
            with pytest.raises(InvalidInputError, match=r"pose: expected rotations \[22, 3, 3\]"):
                model.encode_pose(A[:4])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        for vector in (found, text):
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
