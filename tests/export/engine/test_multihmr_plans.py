"""Real plans of Multi-HMR, with noise for weights: a small one in every run, ViT-S at 448 px with `pytest -m slow`."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch (extra `export`) makes the network")

from multihmr_stand_ins import official_args, official_state, smplx_arrays  # noqa: E402

from humanrt.bundle import Bundle, load_bundle  # noqa: E402
from humanrt.geometry.letterbox import PILLOW  # noqa: E402
from humanrt_export.conversion.bundle_writer import BundleWriter  # noqa: E402
from humanrt_export.conversion.engine.engines import Built, build_engines  # noqa: E402
from humanrt_export.conversion.engine.library import Library  # noqa: E402
from humanrt_export.conversion.graphs import trace  # noqa: E402
from humanrt_export.conversion.multihmr_graphs import BodyAbout, common_settings, write_graphs  # noqa: E402
from humanrt_export.networks.attention import plain  # noqa: E402
from humanrt_export.networks.camera import default_intrinsics  # noqa: E402
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr, NetworkOutput  # noqa: E402

TARGETS = (86, 89, 120)
BLOCKS, HEADS = 6, 4
"""Attentions of the small backbone; self and cross attention in two layers of the head."""


@pytest.fixture(scope="module")
def small(rtx: Library, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with the graph ``network`` alone: `vitn14` at 98 px, 4 slots."""
    torch.manual_seed(0)
    config = ModelConfig("vitn14", 98)
    model = MultiHmr(config).eval()
    feeds = {
        "image": torch.randn(1, 3, 98, 98),
        "intrinsics": default_intrinsics(1, 98),
        "threshold": torch.tensor([0.3]),
    }

    class Slots(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, image: torch.Tensor, intrinsics: torch.Tensor, threshold: torch.Tensor) -> tuple[object, ...]:
            return tuple(self.network(image, intrinsics, threshold, 4))

    model.backbone.fold()
    model.use_attention(backbone=plain, head=plain)
    graphs = {"network": trace(Slots().eval(), feeds, NetworkOutput._fields, "network")}
    texts = dict.fromkeys((*feeds, *NetworkOutput._fields), "")
    out = tmp_path_factory.mktemp("multihmr") / "small"
    body = BodyAbout("none", (), (), (), named=False, estimated=True, notes={})
    settings = common_settings(config, 4, 1, graphs, resize=PILLOW, body=body)
    with BundleWriter(
        out, name="small", task="people", version="1", licence="Apache-2.0", provenance={}, settings=settings
    ) as writer:
        write_graphs(writer, "network", graphs, texts)
        writer.commit()
    return load_bundle(out)


def lines_of(built: Built) -> str:
    assert built.plan is not None
    return built.plan.report.lines()


def test_a_small_multihmr(small: Bundle, rtx: Library) -> None:
    (exact,) = build_engines(small, "fp32", rtx, TARGETS)
    (half,) = build_engines(small, "fp16", rtx, TARGETS)
    assert exact.plan is not None
    assert half.plan is not None
    assert not any("Half" in kind for kind in exact.plan.report.types)
    assert len(exact.plan.report.attentions) == BLOCKS + HEADS
    assert exact.plan.report.fused == []
    backbone = [name for name in half.plan.report.attentions if name.startswith("backbone.")]
    assert len(backbone) == BLOCKS
    assert set(backbone) <= set(half.plan.report.fused or ()), lines_of(half)
    assert half.bytes < exact.bytes
    outside = [
        layer.name
        for layer in half.plan.report.layers
        if layer.nodes
        and not any("backbone" in node or "cast" in node.lower() for node in layer.nodes)
        and "Half" in layer.dtypes
    ]
    assert outside == [], "heads, camera and selection are exact, between their layers too"


@pytest.fixture(scope="module")
def vit_s(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """ViT-S at 448 px, exported whole."""
    import numpy as np

    from humanrt_export.conversion.multihmr_smplx import export_multihmr

    folder: Path = tmp_path_factory.mktemp("vit-s")
    (folder / "smplx").mkdir()
    np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **smplx_arrays())
    config = ModelConfig("dinov2_vits14", 448)
    torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, folder / "noise.pt")
    return load_bundle(export_multihmr(folder / "noise.pt", folder, folder / "bundle"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_vit_s_at_448_px(vit_s: Bundle, rtx: Library, precision: str) -> None:
    """In 30 s: `pytest -m slow tests/export/engine/test_multihmr_plans.py -s`."""
    built = build_engines(vit_s, precision, rtx, TARGETS, graphs=["network"], report=print)
    assert built[0].plan is not None
    backbone = [name for name in built[0].plan.report.attentions if name.startswith("backbone.")]
    assert len(backbone) == 12
    assert set(backbone).issubset(built[0].plan.report.fused or ()) == (precision == "fp16")
    assert built[0].plan.seconds < 60
    assert built[0].bytes < (150e6 if precision == "fp32" else 100e6)
