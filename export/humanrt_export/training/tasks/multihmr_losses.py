"""What Multi-HMR on Anny is trained by: who is where, how they stand, and where that puts every joint and vertex."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import indices
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.bodies.smplx import BodyOutput
from humanrt_export.data.people.dataset import PeopleBatch
from humanrt_export.data.people.imagined import COCO_JOINTS, Imagined, KeypointErrors
from humanrt_export.networks.anny_head import Predictions
from humanrt_export.networks.camera import PATCH, unproject
from humanrt_export.networks.keypoint_head import JOINTS, POSED, Keypoints, TrueKeypoints
from humanrt_export.networks.multihmr_anny import Trained
from humanrt_export.training.processes import shared

__all__ = ["Weights", "focal", "imagined_losses", "keypoint_errors", "losses", "true_keypoints"]

_NEAREST = 0.1  # m, of what is projected
_FAR = 2.0  # m: no keypoint is taken for farther off
_FARTHEST = 0.5  # of the picture's side, or m: projected errors beyond count as this, with a gradient of their own


@dataclass(frozen=True)
class Weights:
    """Weight of each loss (all but `view` and `rotations` as Multi-HMR's).

    Attributes:
        detection: focal loss of the heat-map.
        offset: L1, tokens, of the head within its token.
        rotations: L1 of matrices, summed over the nine entries, mean over bones.
        shape: L1, phenotypes.
        distance: L1 of the logarithm of px per metre, which is that of the depth.
        translation: L1, m, of the head with the true camera.
        joints, vertices: L1, m, from the root joint; mean over coordinates.
        points: L1 of projected joints and vertices, picture sides; where `PeopleBatch.projected`.
        view: L1, rad, of the field of view.
        marks: focal loss of which joints are in which token (`dataset.MARKS`), a mark's share. Not Multi-HMR's: a
            backbone that starts from nothing learns from it what a body looks like long before it learns from poses.
        imagined: of the losses of people without pictures: those of rotations, joints, vertices, keypoints, distance
            and shape, and of a head that corrects also posed and beside, weighted as with pictures.
        keypoints: L1, m in the plane of the head, of the places where the head of a `KeypointBackbone` looks for joints
            (`keypoint_head.JOINTS`), summed over its looks.
        posed: L1, m, from the root joint, of the joints of each pose that such a head corrects, and of the last one;
            mean over poses.
        beside: L1, m at the head, of where these joints are seen from the camera, likewise.
    """

    detection: float = 10.0
    offset: float = 1.0
    rotations: float = 1.0
    shape: float = 1.0
    distance: float = 1.0
    translation: float = 1.0
    joints: float = 100.0
    vertices: float = 100.0
    points: float = 1.0
    view: float = 1.0
    marks: float = 5.0
    keypoints: float = 10.0
    posed: float = 60.0
    beside: float = 20.0
    imagined: float = 1.0


def losses(said: Trained, batch: PeopleBatch, body: AnnyBody, size: int, weights: Weights) -> dict[str, Tensor]:
    """All losses of a batch and their weighted sum, ``total``. Means are over people; without people they are 0.

    Args:
        said: of the network, for the batch's cells.
        batch: pictures and who is in them.
        body: in float32; the coarser, the faster.
        size: side of the picture, px.
        weights: of the losses.
    """
    valid, K = batch.valid, batch.intrinsics
    hot = torch.zeros_like(said.logits).scatter_add_(1, batch.cells, valid.to(said.logits.dtype)).clamp(max=1.0)
    found = {"detection": focal(said.logits, hot, ~batch.ignored)}
    if said.marks is not None:
        found["marks"] = focal(said.marks, batch.marks.to(hot.dtype), None)
    side = size // PATCH
    cells = batch.cells
    centres = torch.stack((cells % side, cells // side), -1) + 0.5
    heads = PATCH * (centres + said.predictions.offsets)
    z = K[:, 0, 0:1] * torch.exp(-said.predictions.size)
    place = z[..., None] * unproject(heads, K)
    low, span = _phenotype_ranges(K.device)
    shape = low + span * said.predictions.shape
    true_size = torch.log(K[:, 0, 0:1] / batch.translation[..., 2])
    # Only people from here on: [N, ...].
    rotations, true_rotations = said.predictions.rotations[valid], batch.rotations[valid]
    found["offset"] = _mean((heads - batch.heads)[valid].abs()) / PATCH
    found["rotations"] = 9 * _mean((rotations - true_rotations).abs())
    found["shape"] = _mean((shape - batch.shape)[valid].abs())
    found["distance"] = _mean((said.predictions.size - true_size)[valid].abs())
    found["translation"] = _mean((place - batch.translation)[valid].abs())
    posed: BodyOutput = body(rotations, shape[valid], place[valid])
    with torch.no_grad():
        truth: BodyOutput = body(true_rotations, batch.shape[valid], batch.translation[valid])
    for name in ("joints", "vertices"):
        # The first joint is the root.
        own, true = (getattr(x, name) - x.joints[:, :1] for x in (posed, truth))
        found[name] = _mean((own - true).abs())
    camera = K[:, None].expand(*valid.shape, 3, 3)[valid]
    points = [(posed.joints, truth.joints), (posed.vertices, truth.vertices)] if batch.projected else []
    found["points"] = sum(
        (_projected(own, true, camera, size) for own, true in points), start=torch.zeros((), device=K.device)
    )
    if said.keypoints is not None:
        joints, heads = truth.joints[:, _joint_indices()], batch.translation[valid]
        found["keypoints"] = _places(said.keypoints.tangents[valid], said.keypoints.turn[valid], joints, heads)
        found |= _posed(said.keypoints, valid, truth.joints, heads)
    true_angle = 2 * torch.atan(size / (2 * K[:, 0, 0]))
    found["view"] = (said.angle - true_angle).abs().mean()
    total = sum((asdict(weights)[name] * value for name, value in found.items()), torch.zeros((), device=K.device))
    return {"total": total, **found}


def imagined_losses(
    said: tuple[Predictions, Keypoints], people: Imagined, body: AnnyBody, weights: Weights
) -> dict[str, Tensor]:
    """The weighted sum of the losses of people without pictures, `imagined`, and of it the joints', m."""
    predictions, keypoints = said
    low, span = _phenotype_ranges(people.shape.device)
    rotations = predictions.rotations[:, 0]
    posed: BodyOutput = body(rotations, low + span * predictions.shape[:, 0], people.translation)
    with torch.no_grad():
        truth: BodyOutput = body(people.rotations, people.shape, people.translation)
    found = {"rotations": 9 * _mean((rotations - people.rotations).abs())}
    for name in ("joints", "vertices"):
        own, true = (getattr(x, name) - x.joints[:, :1] for x in (posed, truth))
        found[name] = _mean((own - true).abs())
    everybody = torch.ones_like(keypoints.tangents[:, :, 0, 0, 0], dtype=torch.bool)
    joints = truth.joints[:, _joint_indices()]
    found["keypoints"] = _places(keypoints.tangents[:, 0], keypoints.turn[:, 0], joints, people.translation)
    found |= _posed(keypoints, everybody, truth.joints, people.translation)
    size = torch.log(people.camera[:, 0, 0] / people.translation[:, 2])
    found["distance"] = _mean((predictions.size[:, 0] - size).abs())
    found["shape"] = _mean((low + span * predictions.shape[:, 0] - people.shape).abs())
    total = sum((asdict(weights)[name] * value for name, value in found.items()), people.shape.new_zeros(()))
    return {"imagined": total, "imagined_joints": found["joints"]}


def _phenotype_ranges(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the lower bounds and the widths of the phenotypes' ranges."""
    low = torch.tensor([p.low for p in PHENOTYPES], device=device)
    return low, torch.tensor([p.high for p in PHENOTYPES], device=device) - low


def focal(logits: Tensor, hot: Tensor, counted: Tensor | None, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al., 2017), for each that is hot.

    Args:
        logits: of any shape.
        hot: 0 or 1, likewise.
        counted: bool, likewise: others do not count; None: all do.
    """
    p = torch.sigmoid(logits)
    positive = hot * (1 - p) ** gamma * functional.softplus(-logits)
    negative = (1 - hot) * p**gamma * functional.softplus(logits)
    each = positive + negative if counted is None else counted.to(logits.dtype) * (positive + negative)
    return each.sum() / shared(hot.sum(), least=1.0)


def true_keypoints(batch: PeopleBatch, body: AnnyBody, forced: float) -> TrueKeypoints:
    """Return the keypoints of a batch's people; a random part ``forced`` of them has a random part of their errors."""
    with torch.no_grad():
        people = (batch.rotations, batch.shape, batch.translation)
        joints = body(*people).joints[:, :, indices(COCO_JOINTS, load_anny("10pc").joint_names)]
    flat = joints[..., :2] / joints[..., 2:].clamp(min=_NEAREST)
    focal = torch.diagonal(batch.intrinsics, dim1=-2, dim2=-1)[:, None, None, :2]
    share = torch.rand_like(batch.translation[..., 0])
    share = torch.where(torch.rand_like(share) < forced, share, torch.ones_like(share))
    return TrueKeypoints(flat * focal + batch.intrinsics[:, None, None, :2, 2], share)


def keypoint_errors(said: Keypoints, batch: PeopleBatch, body: AnnyBody) -> KeypointErrors:
    """How wrong what a head knew of a batch's people before its looks was."""
    given, valid = said.given, batch.valid
    with torch.no_grad():
        truth = body(batch.rotations[valid], batch.shape[valid], batch.translation[valid]).joints
        seen = truth @ said.turn[valid]
        names = load_anny("10pc").joint_names
        depth = (batch.translation * said.turn[..., 2]).sum(-1)[valid]
        metres = seen[..., :2] / seen[..., 2:].clamp(min=_NEAREST) * depth[:, None, None]
        size = torch.log(batch.intrinsics[:, 0, :1].expand(valid.shape)[valid] / depth)
        wrong = given.size[valid] - size
        keypoints, joints = (metres[:, indices(of, names)] for of in (COCO_JOINTS, JOINTS))
        pairs = ((given.regressed, keypoints), (given.found, keypoints), (given.guessed, joints))
        scale = torch.exp(wrong)[:, None, None]
        regressed, found, guessed = ((own[valid] * scale - true).clamp(-_FAR, _FAR) for own, true in pairs)
        return KeypointErrors(regressed, found, guessed, wrong, given.confidence[valid])


def _posed(said: Keypoints, valid: Tensor, joints: Tensor, heads: Tensor) -> dict[str, Tensor]:
    """The losses `posed` and `beside` of a head that corrects poses; none of another.

    Args:
        said: of it.
        valid: [B, P].
        joints: [N, 116, 3] m, Anny's true ones.
        heads: [N, 3] m.
    """
    if said.posed is None:
        return {}
    own, true = said.posed[valid], joints[:, _posed_indices()] @ said.turn[valid]
    difference = (own - own[:, :, :1]) - (true - true[:, :1])[:, None]
    tangents = own[..., :2] / own[..., 2:].clamp(min=_NEAREST)
    beside = _places(tangents, said.turn[valid], joints[:, _posed_indices()], heads)
    return {"posed": _mean(difference.abs()), "beside": beside / own.shape[1]}


@cache
def _posed_indices() -> list[int]:
    return indices(POSED, load_anny("10pc").joint_names)


def _places(own: Tensor, turn: Tensor, joints: Tensor, heads: Tensor) -> Tensor:
    """Distance (L1) of tangents [N, L, J, 2] from those of the true joints [N, J, 3], in metres at the heads [N, 3].

    ``turn``: [N, 3, 3] from each person's view to the camera's. The sum over L, the mean over joints.
    """
    seen = joints @ turn  # rows times the rotation are its inverse times columns
    ahead = seen[..., 2:] > _NEAREST
    true = seen[..., :2] / seen[..., 2:].clamp(min=_NEAREST)
    depth = (heads * turn[..., 2]).sum(-1)[:, None, None, None]
    difference = depth * (own - true[:, None]).abs()
    return own.shape[1] * _mean(torch.where(ahead[:, None], _bounded(difference), torch.zeros_like(difference)))


@cache
def _joint_indices() -> list[int]:
    return indices(JOINTS, load_anny("10pc").joint_names)


def _bounded(difference: Tensor) -> Tensor:
    """Straight up to `_FARTHEST`, then logarithmic: one foot beside the camera must not outweigh the rest."""
    beyond = _FARTHEST * (1 + torch.log(difference.clamp(min=_FARTHEST) / _FARTHEST))
    return torch.where(difference < _FARTHEST, difference, beyond)


def _projected(points: Tensor, truth: Tensor, K: Tensor, size: int) -> Tensor:
    """Mean distance (L1, picture sides) of points [N, V, 3] in the picture; those beside the camera do not count."""
    own, true = (_pixels(x, K) / size for x in (points, truth))
    ahead = (truth[..., 2] > _NEAREST)[..., None]
    bounded = _bounded((own - true).abs())
    return _mean(torch.where(ahead, bounded, torch.zeros_like(bounded)))


def _pixels(points: Tensor, K: Tensor) -> Tensor:
    z = points[..., 2:].clamp(min=_NEAREST)
    flat = points[..., :2] / z
    return flat * torch.stack((K[:, 0, 0], K[:, 1, 1]), -1)[:, None] + K[:, None, :2, 2]


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 of nothing."""
    return values.sum() / shared(math.prod(values.shape), least=1.0)
