"""What a manifest holds under ``settings``, written from the dataclasses that the runtime reads it into.

`entries` is the counterpart of their method `of`: what it writes, `of` reads back as the same settings. A field that
only one side knows is an error of mypy or of tests/export/test_settings.py; so is an entry that the runtime does not
read, unless it is a note for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import singledispatch
from typing import Any, NewType

from humanrt.bundle.settings import (
    OPEN_EMBEDDER,
    BodyNetworkSettings,
    BodySettings,
    DetectorSettings,
    EditorSettings,
    HandsSettings,
    HolisticSettings,
    LandmarksSettings,
    MultiHmrSettings,
    MultiposeSettings,
    OpenEmbedderSettings,
    PoseBertSettings,
    PoseEmbroiderSettings,
    PoseGptSettings,
    RetrievalSettings,
    StreamingGptSettings,
    TextSettings,
    Topology,
    Variant,
    WordEditorSettings,
    WriterSettings,
)
from humanrt.geometry.region import FollowRule, RegionRule
from humanrt.geometry.skeleton import COCO_17

__all__ = ["Entries", "Settings", "body_entries", "entries", "variant_entry"]

Settings = (
    EditorSettings
    | HandsSettings
    | HolisticSettings
    | LandmarksSettings
    | MultiHmrSettings
    | MultiposeSettings
    | PoseBertSettings
    | OpenEmbedderSettings
    | PoseEmbroiderSettings
    | PoseGptSettings
    | RetrievalSettings
    | StreamingGptSettings
    | WordEditorSettings
    | WriterSettings
)

Entries = NewType("Entries", dict[str, Any])
"""Result of `entries`: the only thing that `BundleWriter` takes."""


def entries(settings: Settings, *, variants: Sequence[Variant] = (), notes: Mapping[str, Any] | None = None) -> Entries:
    """Return the JSON of a bundle's settings.

    Args:
        settings: what the runtime reads.
        variants: graphs that replace others, in order of preference.
        notes: further entries, nested like those of the settings, that the runtime does not read: for people, and for
            later conversions (``fp32_nodes``).

    Raises:
        ValueError: a note has the place of a setting.
    """
    listed = {"variants": [variant_entry(variant) for variant in variants]} if variants else {}
    return Entries(_joined({**_entries(settings), **listed}, notes or {}, "settings"))


def variant_entry(variant: Variant) -> dict[str, Any]:
    """Return the JSON of a variant."""
    return {
        "graph": variant.graph,
        "precision": variant.precision,
        "of": variant.of,
        **({} if variant.backend is None else {"backend": variant.backend}),
        **({"cpu": list(variant.cpu)} if variant.cpu else {}),
    }


def body_entries(body: BodySettings) -> dict[str, Any]:
    """Return the JSON of a body model's settings."""
    names = [one.name for one in body.phenotypes]
    return {
        "model": body.model,
        **({"bones": list(body.bones)} if body.bones else {}),
        "phenotypes": [{"name": one.name, "low": one.low, "high": one.high} for one in body.phenotypes],
        "default": {one.name: one.default for one in body.phenotypes},
        "sizes": [dict(zip(names, size, strict=True)) for size in body.sizes],
        "stature_m": body.stature_m,
        "joint_names": list(body.joint_names),
        "head_joint": body.head_joint,
        "pelvis_joint": body.pelvis_joint,
        "vertices": body.vertices,
    }


@singledispatch
def _entries(settings: Any) -> dict[str, Any]:
    raise TypeError(f"{type(settings).__name__} is no dataclass of a bundle's settings")


@_entries.register
def _hands(settings: HandsSettings) -> dict[str, Any]:
    rule: FollowRule = settings.region
    return {
        "palm": {
            **_detector(settings.palm),
            "wrist": settings.wrist,
            "middle_mcp": settings.middle_mcp,
            "region": _region(settings.palm_region),
        },
        "landmarks": {
            "models": list(settings.models),
            "presence_threshold": settings.presence_threshold,
            "region": {
                **_region(rule.grow),
                "keypoints": list(rule.inside),
                "up": {"from": _weights(rule.start), "to": _weights(rule.end)},
            },
        },
    }


@_entries.register
def _landmarks(settings: LandmarksSettings) -> dict[str, Any]:
    return {
        "model": "landmarks",
        "person": {
            **_detector(settings.person),
            **_circle(settings.person_circle),
            "region": {"scale": settings.person_scale},
        },
        "landmarks": _network(settings.network),
        "tracking": {"max_people": settings.max_people},
        "camera": {"field_of_view_deg": settings.field_of_view},
        "body": body_entries(settings.body),
    }


@_entries.register
def _holistic(settings: HolisticSettings) -> dict[str, Any]:
    bundles, hand, face = settings.bundles, settings.hand, settings.face
    return {
        "model": "holistic",
        "bundles": asdict(bundles),
        "landmarks": {"graph": settings.network.graph, **_network(settings.network)},
        "hand": {
            "left": asdict(hand.left),
            "right": asdict(hand.right),
            "region": {"length": hand.length, "width": hand.width, "shift": hand.shift},
            "refined": _region(hand.refined),
            "presence_threshold": hand.presence_threshold,
            "max_gap": hand.max_gap,
        },
        "face_detector": _detector(settings.face_detector),
        "face": {
            "count": face.count,
            "presence_threshold": face.presence_threshold,
            "body": asdict(face.body),
            "points": {name: list(at) if isinstance(at, tuple) else at for name, at in asdict(face.points).items()},
            "region": {"height": face.height, "width": face.width, "centre": face.centre},
            "min_facing": face.min_facing,
            "max_gap": face.max_gap,
            "search": face.search,
            "detected": _region(face.detected),
            "follow": _region(face.follow),
        },
        "body": {**body_entries(settings.body), "expression_units": list(settings.expression_units)},
    }


@_entries.register
def _multihmr(settings: MultiHmrSettings) -> dict[str, Any]:
    default = "estimate" if settings.estimated else "field_of_view"
    square = settings.input_size[0] == settings.input_size[1]
    return {
        "image_size": settings.image_size,
        **({} if square else {"input_size": list(settings.input_size)}),
        "batch": settings.batch,
        "max_people": settings.max_people,
        "threshold": settings.threshold,
        "normalisation": {"mean": list(settings.mean), "std": list(settings.std)},
        "letterbox": {"resize": settings.resize},
        "camera": {
            "field_of_view_deg": settings.field_of_view,
            "principal_point_px": settings.principal_point[0] if square else list(settings.principal_point),
            **({"default": default} if settings.estimates else {}),
        },
        "body": {
            "model": settings.body,
            **({"bones": list(settings.bones)} if settings.bones else {}),
            "joint_names": list(settings.joint_names),
            **({"topologies": [_topology(one) for one in settings.topologies]} if settings.named else {}),
        },
    }


@_entries.register
def _posebert(settings: PoseBertSettings) -> dict[str, Any]:
    return {
        **({"kind": settings.kind} if settings.kind else {}),
        **({"input": settings.input} if settings.input else {}),
        "window": settings.window,
        "clock_hz": settings.clock_hz,
        "joints": list(settings.joints),
        "parents": list(settings.parents),
        "origin": list(settings.origin),
        **({"rest": [list(row) for row in settings.rest]} if settings.rest else {}),
    }


@_entries.register
def _posegpt(settings: PoseGptSettings) -> dict[str, Any]:
    return {
        "clock_hz": settings.clock_hz,
        "joints": list(settings.joints),
        "parents": list(settings.parents),
        "up": settings.up,
        "factor": settings.factor,
        "codes": settings.codes,
        "variant": settings.variant,
        "tail": settings.tail,
        **({"labels": list(settings.labels)} if settings.labels else {}),
        "durations": list(settings.durations),
    }


@_entries.register
def _streaming_gpt(settings: StreamingGptSettings) -> dict[str, Any]:
    return {
        "model": "streaming",
        "clock_hz": settings.clock_hz,
        "joints": list(settings.joints),
        "parents": list(settings.parents),
        "up": settings.up,
        "factor": settings.factor,
        "reach": settings.reach,
        "codes": settings.codes,
        "labels": list(settings.labels),
    }


@_entries.register
def _editor(settings: EditorSettings) -> dict[str, Any]:
    return {"model": "editor", "joints": list(settings.joints), "text": _text(settings.text)}


@_entries.register
def _word_editor(settings: WordEditorSettings) -> dict[str, Any]:
    return {
        "model": "word-editor",
        "joints": list(settings.joints),
        "vocabulary": {"file": settings.file, "count": settings.count},
        "channels": list(settings.channels),
        "places": list(settings.places),
        "sure": settings.sure,
        "unknown": settings.unknown,
    }


@_entries.register
def _writer(settings: WriterSettings) -> dict[str, Any]:
    marks = {"start": settings.start, "end": settings.end, "padding": settings.padding}
    return {"model": "writer", "joints": list(settings.joints), "mode": settings.mode, "marks": marks}


@_entries.register
def _retrieval(settings: RetrievalSettings) -> dict[str, Any]:
    return {
        "model": "retrieval",
        "joints": list(settings.joints),
        "text": _text(settings.text),
        "temperature": settings.temperature,
    }


@_entries.register
def _poseembroider(settings: PoseEmbroiderSettings) -> dict[str, Any]:
    return {
        "together": settings.together,
        **({"joints": list(settings.joints)} if settings.joints else {}),
        **({"text": _text(settings.text)} if settings.text else {}),
        **(
            {"marks": {"start": settings.start, "end": settings.end, "padding": settings.padding}}
            if settings.words
            else {}
        ),
        **({"body_joints": list(settings.body_joints)} if settings.body_joints else {}),
    }


@_entries.register
def _open_embedder(settings: OpenEmbedderSettings) -> dict[str, Any]:
    return {
        "model": OPEN_EMBEDDER,
        "joints": list(settings.joints),
        "vocabulary": {"file": settings.file, "count": settings.count},
        "unknown": settings.unknown,
        "landmarks": settings.landmarks,
        "body_joints": list(settings.body_joints),
    }


@_entries.register
def _multipose(settings: MultiposeSettings) -> dict[str, Any]:
    return {
        "model": "multipose",
        "multipose": {
            "input_size": settings.input_size,
            "keypoints": list(COCO_17),
            "centre_threshold": settings.centre_threshold,
            "keypoint_threshold": settings.keypoint_threshold,
            "spread": settings.spread,
            "max_people": settings.max_people,
        },
    }


def _text(settings: TextSettings) -> dict[str, Any]:
    return {"lengths": list(settings.lengths), "words": settings.words}


def _network(settings: BodyNetworkSettings) -> dict[str, Any]:
    return {
        "count": settings.count,
        **_circle(settings.circle),
        "region": {"scale": settings.scale},
        "presence_threshold": settings.presence_threshold,
    }


def _detector(settings: DetectorSettings) -> dict[str, Any]:
    return {
        "input_size": settings.input_size,
        "input_range": list(settings.input_range),
        "box_scale": settings.box_scale,
        "score_threshold": settings.score_threshold,
        "nms_iou": settings.nms_iou,
        "keypoints": settings.keypoints,
    }


def _region(rule: RegionRule) -> dict[str, float]:
    return {"scale": rule.scale, "shift": rule.shift}


def _circle(points: tuple[int, int]) -> dict[str, int]:
    return {"centre": points[0], "circle": points[1]}


def _weights(pairs: Sequence[tuple[int, float]]) -> dict[str, float]:
    return {str(index): weight for index, weight in pairs}


def _topology(mesh: Topology) -> dict[str, str]:
    return {"name": mesh.name, "graph": mesh.graph, "graph_one": mesh.graph_one, "faces": mesh.faces}


def _joined(entry: dict[str, Any], notes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return entries and notes together."""
    whole = dict(entry)
    for key, note in notes.items():
        own = entry.get(key)
        if isinstance(own, dict) and isinstance(note, Mapping):
            whole[key] = _joined(own, note, f"{where}.{key}")
        elif isinstance(own, list) and isinstance(note, list) and len(own) == len(note) and isinstance(note[0], dict):
            whole[key] = [_joined(*pair, f"{where}.{key}.{i}") for i, pair in enumerate(zip(own, note, strict=True))]
        elif key in entry:
            raise ValueError(f"{where}.{key} is a setting; a note must not replace it")
        else:
            whole[key] = note
    return whole
