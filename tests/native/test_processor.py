"""Processor features, and hiding them to test other processors' paths."""

from __future__ import annotations

import pytest

from humanrt import native
from humanrt.native import processor


def test_hidden_features_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_all_features", lambda: frozenset({"avx2", "amx_bf16", "avx512_vnni"}))
    monkeypatch.delenv(processor.HIDE, raising=False)
    assert processor.features() == {"avx2", "amx_bf16", "avx512_vnni"}
    monkeypatch.setenv(processor.HIDE, "amx_bf16, avx512_vnni")
    assert processor.features() == {"avx2"}


def test_hidden_amx_is_not_used_and_the_reason_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := native.problem():
        pytest.skip(reason)
    monkeypatch.setenv(processor.HIDE, "amx_bf16")
    assert native.amx_problem() == "HUMANRT_HIDE_CPU hides it"


@pytest.mark.parametrize(
    ("machine", "features", "expected"),
    [
        ("x86_64", {"avx2", "avx512_vnni"}, "exact"),
        ("AMD64", {"avx_vnni"}, "exact"),
        ("x86_64", {"avx2", "avx512f"}, "saturating"),
        ("AMD64", set(), "saturating"),
        ("aarch64", set(), "exact"),
    ],
)
def test_int8_products_saturate_on_x86_without_vnni(
    monkeypatch: pytest.MonkeyPatch, machine: str, features: set[str], expected: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(processor, "_all_features", lambda: frozenset(features))
    monkeypatch.delenv(processor.HIDE, raising=False)
    assert processor.int8_products() == expected
