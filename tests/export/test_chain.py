"""Bones composed by pointer doubling, against one after the other."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `export`")

from humanrt_export.bodies.chain import BoneChain, ancestors_of  # noqa: E402


@pytest.mark.parametrize("bones", [1, 2, 3, 17, 40])
def test_the_chain_is_what_one_bone_after_the_other_gives(bones: int) -> None:
    generator = torch.Generator().manual_seed(bones)
    # From one chain to a bush: a parent is one of the `reach` bones before.
    for reach in (1, 3, bones):
        parents = [-1] + [
            max(bone - 1 - int(torch.randint(reach, (1,), generator=generator)), 0) for bone in range(1, bones)
        ]
        local = torch.linalg.qr(torch.randn(2, bones, 3, 3, generator=generator, dtype=torch.float64))[0]
        offsets = torch.randn(2, bones, 3, generator=generator, dtype=torch.float64)
        turns, places = BoneChain(parents).double()(local, offsets)
        for bone, parent in enumerate(parents):
            above = torch.eye(3, dtype=torch.float64) if parent < 0 else turns[:, parent]
            start = 0.0 if parent < 0 else places[:, parent]
            torch.testing.assert_close(turns[:, bone], above @ local[:, bone])
            torch.testing.assert_close(places[:, bone], start + (above @ offsets[:, bone, :, None])[..., 0])


def test_the_rounds_are_the_logarithm_of_the_depth() -> None:
    assert [len(ancestors_of(range(-1, bones - 1))) for bones in (1, 2, 3, 4, 5, 16, 17, 18)] == [
        *(0, 1, 2, 2, 3, 4, 5, 5)
    ]
