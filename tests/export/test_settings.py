"""Settings that are written are read back as the same, and the runtime reads all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'humanrt[export]'")

from humanrt import load_bundle
from humanrt.bundle import Bundle, shipped_bundles
from humanrt.bundle.settings import (
    BodySettings,
    HandsSettings,
    HolisticSettings,
    LandmarksSettings,
    MultiHmrSettings,
    MultiposeSettings,
    PoseBertSettings,
    Variant,
    WordEditorSettings,
    check_settings,
    variants_of,
)
from humanrt.geometry.region import FollowRule, RegionRule
from humanrt_export.conversion.settings import Settings, entries
from shipped import shipped


def _posebert(bundle: Bundle) -> PoseBertSettings:
    return PoseBertSettings.of(bundle, bundle.graphs[0])


READERS: dict[str, Callable[[Bundle], Settings]] = {
    "hands": HandsSettings.of,
    "holistic": HolisticSettings.of,
    "landmarks": LandmarksSettings.of,
    "multihmr-anny": MultiHmrSettings.of,
    "multipose": MultiposeSettings.of,
    "posebert-body": _posebert,
    "posebert-hand": _posebert,
    "word-editor": WordEditorSettings.of,
}


@lru_cache
def loaded(name: str) -> Bundle:
    return load_bundle(shipped(name))


class Watched(dict[str, Any]):
    """A JSON object that notes which of its keys are read."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({key: watched(value) for key, value in values.items()})
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def items(self) -> Any:
        self.read |= self.keys()
        return super().items()

    def unread(self, at: str = "settings") -> Iterator[str]:
        for key in self:
            value = dict.__getitem__(self, key)
            if key not in self.read:
                yield f"{at}.{key}"
                continue
            for index, one in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(one, Watched):
                    yield from one.unread(f"{at}.{key}.{index}" if isinstance(value, list) else f"{at}.{key}")


def watched(value: Any) -> Any:
    if isinstance(value, dict):
        return Watched(value)
    return [watched(one) for one in value] if isinstance(value, list) else value


def holding(name: str, settings: dict[str, Any]) -> Bundle:
    """A shipped bundle with these settings."""
    return replace(loaded(name), manifest={**loaded(name).manifest, "settings": settings})


def changed_body(body: BodySettings) -> BodySettings:
    phenotypes = (replace(body.phenotypes[0], low=-0.25, high=1.25, default=1.125), *body.phenotypes[1:])
    return replace(
        body,
        **{"model": "Somebody", "bones": body.bones[::-1], "phenotypes": phenotypes},
        **{"joint_names": body.joint_names[::-1], "head_joint": 5, "pelvis_joint": 7, "stature_m": 1.5},
        sizes=body.sizes[::-1],
    )


def changed_holistic(settings: HolisticSettings) -> HolisticSettings:
    hand = replace(
        settings.hand,
        **{"left": settings.hand.right, "right": settings.hand.left, "length": 2.5, "width": 1.5, "shift": 0.25},
        **{"refined": RegionRule(0.75, 0.375), "presence_threshold": 0.125, "max_gap": 0.75},
    )
    points = replace(settings.face.points, nose=2, left_eye=(3, 4), right_eye=(5, 6), left_mouth=7, right_mouth=8)
    face = replace(
        settings.face,
        **{"presence_threshold": 0.125, "body": replace(settings.face.body, nose=1, left_eye=3, right_eye=6)},
        **{"points": replace(points, top=9, chin=11), "height": 1.5, "width": 2.5, "centre": 0.75},
        **{"min_facing": 0.5, "max_gap": 0.75, "search": 2.5},
        **{"detected": RegionRule(1.25, 0.125), "follow": RegionRule(1.75, 0.25)},
    )
    return replace(
        settings,
        bundles=replace(settings.bundles, landmarks="a", hands="b", body_poses="c", hand_poses="d"),
        network=replace(settings.network, circle=(3, 5), scale=2.25, presence_threshold=0.125),
        hand=hand,
        face_detector=replace(settings.face_detector, input_range=(-1.0, 0.5), box_scale=7.0, score_threshold=0.25),
        face=face,
        body=changed_body(settings.body),
        expression_units=settings.expression_units[::-1],
    )


def changed(settings: Settings) -> Settings:
    """The same with another value in every field that the graphs leave open, and in each that has a default."""
    if isinstance(settings, HandsSettings):
        detector = replace(settings.palm, input_range=(-1.0, 0.5), box_scale=7.0, score_threshold=0.25, nms_iou=0.125)
        rule = FollowRule(RegionRule(1.5, 0.25), (3, 1, 2), ((4, 0.5), (2, 0.25)), ((5, 1.5),))
        return replace(
            settings,
            **{"palm": detector, "wrist": 3, "middle_mcp": 1, "palm_region": RegionRule(0.75, 0.375)},
            **{"models": ("lite", "full"), "presence_threshold": 0.0625, "region": rule},
        )
    if isinstance(settings, HolisticSettings):
        return changed_holistic(settings)
    if isinstance(settings, LandmarksSettings):
        body = changed_body(settings.body)
        network = replace(settings.network, circle=(3, 5), scale=2.25, presence_threshold=0.125)
        return replace(
            settings,
            **{"person": replace(settings.person, input_range=(0.0, 2.0)), "person_circle": (1, 3)},
            **{"person_scale": 1.75, "network": network},
            **{"max_people": 9, "field_of_view": 75.0, "body": body},
        )
    if isinstance(settings, MultiHmrSettings):
        return replace(
            settings,
            **{"threshold": 0.125, "mean": (0.25, 0.5, 0.75), "std": (1.0, 2.0, 3.0), "resize": "pillow-bicubic"},
            **{"field_of_view": 75.0, "estimated": not settings.estimated, "principal_point": (100.0, 100.0)},
            **{"body": "Somebody", "bones": settings.bones[::-1], "joint_names": settings.joint_names[::-1]},
            topologies=tuple(replace(one, name=f"{one.name}!") for one in settings.topologies),
        )
    if isinstance(settings, MultiposeSettings):
        return replace(
            settings, **{"centre_threshold": 0.125, "keypoint_threshold": 0.0625, "spread": 2.5, "max_people": 9}
        )
    if isinstance(settings, WordEditorSettings):
        return replace(
            settings,
            **{"joints": settings.joints[::-1], "file": "edit.onnx.z", "count": 7, "sure": 0.25, "unknown": 0.125},
            **{"channels": settings.channels[::-1], "places": settings.places[::-1]},
        )
    return replace(
        settings,
        **{"clock_hz": 25.0, "joints": settings.joints[::-1], "parents": (-1,) + (0,) * (len(settings.joints) - 1)},
        **{"origin": (2, 1), "rest": settings.rest[::-1], "input": "another", "kind": "other"},
    )


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("change", [lambda settings: settings, changed], ids=["as shipped", "changed"])
def test_what_is_written_is_read_back(name: str, change: Callable[[Settings], Settings]) -> None:
    settings = change(READERS[name](loaded(name)))
    written = json.loads(json.dumps(entries(settings)))
    assert READERS[name](holding(name, written)) == settings


@pytest.mark.parametrize("name", READERS)
def test_the_changed_settings_differ_in_every_field_that_graphs_leave_open(name: str) -> None:
    graphs = {"image_size", "batch", "max_people", "estimates", "named", "count", "window"}
    graphs |= {"input_size", "longest"}  # of multipose and the word editor
    graphs -= {"max_people"} if name in ("landmarks", "multipose") else set()
    settings = READERS[name](loaded(name))
    other = changed(settings)
    same = {field.name for field in fields(settings) if getattr(settings, field.name) == getattr(other, field.name)}
    assert same <= graphs


@pytest.mark.parametrize("name", READERS)
def test_all_that_is_written_is_read(name: str) -> None:
    settings = Watched(entries(changed(READERS[name](loaded(name)))))
    READERS[name](holding(name, settings))
    # Which pipeline a bundle needs is asked before (`tasks.PEOPLE`).
    assert list(settings.unread()) == (["settings.model"] if name in ("holistic", "landmarks") else [])


@pytest.mark.parametrize("name", [name for name in shipped_bundles() if name in READERS])
def test_bundles_that_ship_hold_nothing_of_another_meaning(name: str) -> None:
    """Notes added by exporters do not change what is read."""
    settings = READERS[name](loaded(name))
    notes = {"nobody_reads_this": 1}
    assert READERS[name](holding(name, entries(settings, notes=notes))) == settings


def test_variants_are_read_back() -> None:
    bundle = loaded("multihmr-anny")
    variants = (
        *variants_of(bundle),
        Variant(bundle.graphs[-1], "fp16", of=bundle.graphs[1], backend="tensorrt", cpu=("amx_bf16",)),
    )
    written = holding("multihmr-anny", entries(MultiHmrSettings.of(bundle), variants=variants))
    assert variants_of(written) == variants
    check_settings(written)


def test_notes_join_the_settings_and_never_replace_them() -> None:
    settings = HandsSettings.of(loaded("hands"))
    written = entries(settings, notes={"palm": {"nms": "weighted", "region": {"square": "longer side"}}, "new": [1]})
    assert written["palm"]["region"] == {"scale": 2.6, "shift": -0.5, "square": "longer side"}
    assert (written["palm"]["nms"], written["new"]) == ("weighted", [1])
    assert "nms" not in entries(settings)["palm"]
    with pytest.raises(ValueError, match=r"settings\.palm\.region\.scale is a setting"):
        entries(settings, notes={"palm": {"region": {"scale": 1.0}}})
    with pytest.raises(ValueError, match=r"settings\.palm is a setting"):
        entries(settings, notes={"palm": 3})


# ------------------------------------------------------------------------------------------- exporters


def test_the_hands_exporter_makes_the_settings_that_ship() -> None:
    from humanrt_export.conversion import hands

    assert HandsSettings.of(loaded("hands")) == hands.SETTINGS


def test_the_landmarks_exporter_makes_the_settings_that_ship() -> None:
    pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")
    from humanrt_export.bodies.anny.model import cached_file
    from humanrt_export.conversion import landmarks, landmarks_body

    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache; `pytest -m slow tests/export/anny_body` builds it")
    assert landmarks.settings(landmarks_body.body_settings()) == LandmarksSettings.of(loaded("landmarks"))


def test_the_holistic_exporter_makes_the_settings_that_ship() -> None:
    pytest.importorskip("tflite", reason="needs humanrt[export]")
    from humanrt_export.conversion import holistic

    shipped_settings = HolisticSettings.of(loaded("holistic"))
    assert holistic.settings(shipped_settings.body, shipped_settings.expression_units) == shipped_settings


@pytest.mark.parametrize("name", [name for name in shipped_bundles() if name.startswith("posebert")])
def test_the_posebert_exporter_makes_the_settings_that_ship(name: str) -> None:
    pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")
    from humanrt_export.conversion.posebert import open_settings
    from humanrt_export.data.poses.kinds import KINDS

    found = _posebert(loaded(name))
    assert open_settings(KINDS[found.input], found.window) == found
