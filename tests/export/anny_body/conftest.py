"""Fixtures of the tests of Multi-HMR on Anny. Without torch and onnxscript there is nothing to test here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnxscript") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import torch

    from humanrt_export.bodies.anny.model import AnnyData, cached_file, load_anny
    from humanrt_export.networks.backbone import BACKBONES
    from humanrt_export.networks.multihmr_anny import AnnyConfig, AnnyHmr

    @pytest.fixture(scope="session", params=["full", "10pc"])
    def data(request: pytest.FixtureRequest) -> AnnyData:
        """A body model, each topology."""
        return cached(request.param)

    @pytest.fixture(scope="session")
    def coarse() -> AnnyData:
        """The body model of 1229 vertices."""
        return cached("10pc")

    def cached(topology: str) -> AnnyData:
        if not cached_file(topology).is_file():
            pytest.skip(f"Anny is not in the cache, and building it takes a minute: `pytest -m slow {__file__[:-11]}`")
        return load_anny(topology)

    @pytest.fixture(scope="module")
    def network() -> Iterator[AnnyHmr]:
        """A small network whose every output depends on the image, as after training."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(BACKBONES, "dinov2_vitt14", (64, 2, 2))
            torch.manual_seed(5)
            config = AnnyConfig(backbone="dinov2_vitt14", image_size=98, width=64, depth=2, heads=2, mlp=128)
            model = AnnyHmr(config).eval()
            with torch.no_grad():
                for linear in (model.head.offset, model.head.pose, model.head.shape, model.head.size, model.view[-1]):
                    linear.weight.normal_(std=0.5 * linear.in_features**-0.5)
                model.detection.score[-1].weight.mul_(4)
                model.detection.score[-1].bias.zero_()
            yield model
