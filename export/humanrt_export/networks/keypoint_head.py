"""The head of Multi-HMR on Anny that looks where a person's joints are: one token for each joint.

A person's token says roughly where their joints are; from their middle MoveNet's regression says it better, and its
heat maps say it once more. Maps of features and keypoints are sampled there and around, a small transformer moves the
joints, looks again, and regresses pose, shape, place and size. Whoever finds joints in real pictures, as MoveNet does,
thereby poses real people.

Then the person is posed, and where that puts the joints is compared with where they are seen: a block that knows the
difference corrects pose, shape and size, several times over (`KeypointHead.corrections`).

Joints are in the *person's view*: a camera at the real one's place that points at the person's token. Its tangents
(x, y at depth 1) do not depend on the lens or on where in the picture the person is; divided by the person's angular
size, they are metres in the plane of their head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.bodies.anny.bones import ACTIVE, HEAD
from humanrt_export.networks.anny_head import Predictions, upright
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import VitBlock
from humanrt_export.networks.camera import PATCH, Window, unproject
from humanrt_export.networks.detection import gather_tokens
from humanrt_export.networks.keypoint_backbone import LOGIT, KeypointMaps
from humanrt_export.networks.movenet import KEYPOINTS, MoveNet
from humanrt_export.networks.posed_joints import PosedJoints
from humanrt_export.networks.rotations import matrices_from_rows

__all__ = ["JOINTS", "POSED", "GivenKeypoints", "KeypointHead", "Keypoints", "PersonView", "TrueKeypoints", "toward"]

JOINTS = (
    *("root", "spine02", "neck01", "head"),
    *(f"{name}.{side}" for side in "LR" for name in ("eye", "upperarm01", "lowerarm01", "wrist", "finger3-1")),
    *(f"{name}.{side}" for side in "LR" for name in ("upperleg01", "lowerleg01", "foot", "big-toe-tip")),
)
"""Anny's joints that have a token each."""
POSED = tuple(name.replace("big-toe-tip", "toe1-2") for name in JOINTS)
"""Bones that stand for them where a person is posed within the head: a toe's tip is on the skin."""

_APART = 0.1  # m between the 3 x 3 places around a joint that are looked at
# A heat map's keypoint is the mean of 9 x 9 places about where the regression expects it, weighted by the exponential
# of `_SHARP` times the logit, and by a normal distribution. Chosen on pictures for training.
_SEARCHED, _SEARCHED_APART, _SHARP, _SPREAD = 9, 0.08, 2.0, 0.2  # m
# Where the picture ends: a logit far below those of any keypoint. And what maps confidence to about -1..1.
_NOWHERE, _CONFIDENCE = -8.0, (2.0, 0.5)
_REACH = 3.0  # m; a joint that is farther from the head is looked for at this distance
_AHEAD = 0.1  # least depth of what is projected
_NARROW = 24  # numbers of a joint that the pose is read from directly
_SCALE = 0.02
_GIVEN = 3  # numbers that a look has of each joint's keypoint: x, y, confidence
_COMPARED = 8  # and a correction: 2 x 2 differences, confidence, where the joint is in 3-d
# Before training each joint is at a keypoint, or at the mean of one or two pairs (COCO's left and right).
_FROM_COCO = {"eye": 1, "upperarm01": 5, "lowerarm01": 7, "wrist": 9, "finger3-1": 9, "upperleg01": 11}
_FROM_COCO |= {"lowerleg01": 13, "foot": 15, "big-toe-tip": 15}
_FROM_PAIRS = {"root": (11,), "spine02": (5, 11), "neck01": (5,), "head": (3,)}


@dataclass(frozen=True)
class Keypoints:
    """Where joints are thought to be, for the losses.

    Attributes:
        tangents: [B, P, L, J, 2] x, y at depth 1 in the person's view: earlier guesses, then those after each look.
        turn: [B, P, 3, 3] from the person's view to the camera's.
        given: what was known before the looks.
        posed: [B, P, I, J, 3] m, `POSED` in the person's view, before each correction and after the last; None of a
            head that does not correct, and outside training.
    """

    tangents: Tensor
    turn: Tensor
    given: GivenKeypoints
    posed: Tensor | None = None


@dataclass(frozen=True)
class GivenKeypoints:
    """What is known of people before the head looks for their joints.

    Attributes:
        regressed, found: [B, P, 17, 2] m, MoveNet's keypoints by its regression, and by its heat maps.
        guessed: [B, P, J, 2] m, joints as the person's token says.
        size: [B, P] logarithm of px per metre in the person's view, likewise; the metres above are measured by it.
        confidence: [B, P, 17] of the heat maps, about -1..1, -3 outside the picture; 0 where nothing is known of it.
        tangents: [B, P, J, 2] each, earlier guesses for `Keypoints`.
    """

    regressed: Tensor
    found: Tensor
    guessed: Tensor
    size: Tensor
    confidence: Tensor
    tangents: Sequence[Tensor] = ()


class TrueKeypoints(NamedTuple):
    """What is known of people in a training's pictures, [B, P, ...], so that their keypoints can be better than seen.

    Attributes:
        pixels: [B, P, 17, 2] px, their true keypoints.
        share: [B, P] in 0..1, what is left of the errors of those seen.
    """

    pixels: Tensor
    share: Tensor


@dataclass(frozen=True)
class PersonView:
    """The person's view, [B, P, ...]: its rotation, the camera K [B, 3, 3], and the picture's size in px (x, y)."""

    turn: Tensor
    camera: Tensor
    size: Tensor

    def pixels(self, tangents: Tensor) -> Tensor:
        """Project tangents [B, P, N, 2] to px."""
        turn = self.turn[:, :, None]
        x, y, z = (
            turn[..., row, 0] * tangents[..., 0] + turn[..., row, 1] * tangents[..., 1] + turn[..., row, 2]
            for row in range(3)
        )
        z = z.clamp(min=_AHEAD)
        x, y, K = x / z, y / z, self.camera[:, None, None]
        u = K[..., 0, 0] * x + K[..., 0, 1] * y + K[..., 0, 2]
        return torch.stack((u, K[..., 1, 1] * y + K[..., 1, 2]), dim=-1)

    def tangents(self, pixels: Tensor) -> Tensor:
        """Return the tangents of pixels [B, P, N, 2]."""
        rays = unproject(pixels.flatten(1, 2), self.camera).unflatten(1, pixels.shape[1:3])
        x, y, z = ((rays * self.turn[:, :, None, :, column]).sum(-1) for column in range(3))
        return torch.stack((x, y), dim=-1) / z.clamp(min=_AHEAD)[..., None]

    def places(self, pixels: Tensor) -> Tensor:
        """Return pixels [B, P, N, 2] as `grid_sample` wants them, [B, P, N, 2]; at most a picture outside."""
        return (2 * pixels / self.size - 1).clamp(-3, 3)


class KeypointHead(nn.Module):
    """Predict `Predictions` from backbone tokens [B, N, D], detected cells, the backbone's maps and the camera.

    Args:
        tokens: width D of a token.
        side: tokens along a side of the image.
        rotations: R, the root's first.
        phenotypes: S.
        width, heads, mlp: of the blocks, through which each joint's token goes with the person's.
        depth: blocks; half of them before the second look.
        size: approximate value of `Predictions.size` before training.
        corrections: how often a person is posed and corrected, by one more block; 0: the pose is read once.
    """

    initial_pose: Tensor
    around: Tensor
    searched: Tensor
    near: Tensor
    own_map: Tensor

    def __init__(
        self,
        *,
        tokens: int,
        side: int,
        rotations: int,
        phenotypes: int,
        width: int,
        depth: int,
        heads: int,
        mlp: int,
        size: float,
        corrections: int = 0,
    ) -> None:
        super().__init__()
        count = len(JOINTS)
        self.rotations, self.window = rotations, Window.of(side)
        self.register_buffer("initial_pose", upright(rotations), persistent=False)
        self.register_buffer("around", _APART * _grid(3), persistent=False)
        searched = _SEARCHED_APART * _grid(_SEARCHED)
        self.register_buffer("searched", searched, persistent=False)
        self.register_buffer("near", -searched.square().sum(-1) / (2 * _SPREAD**2), persistent=False)
        self.register_buffer("own_map", torch.eye(KEYPOINTS)[:, None], persistent=False)
        self.person = nn.Linear(tokens, width)
        self.first = nn.Sequential(nn.Linear(tokens, width), nn.GELU(), nn.Linear(width, 2 * count + 1))
        self.regressed = nn.Linear(4 * KEYPOINTS, width)
        self.drawn = nn.Linear(2 * KEYPOINTS, 2 * count)
        self.names = nn.Parameter(torch.zeros(count, width))
        seen = len(self.around) * (MoveNet.WIDTHS[0] + MoveNet.WIDTHS[-1])
        halves = (depth - depth // 2, depth // 2)
        given = _GIVEN if corrections else 0
        self.looks = nn.ModuleList(_Look(tokens, seen, width, heads, mlp, blocks, given) for blocks in halves)
        self.corrections = corrections
        if corrections:
            self.register_buffer("own_keypoint", _from_coco(), persistent=False)
            self.trusted = nn.Linear(KEYPOINTS + 1, width)
            self.posed = PosedJoints(POSED, ACTIVE, HEAD[-1])
            self.correction = _Correction(width, heads, mlp)
        self.norm = nn.LayerNorm(width)
        self.narrow = nn.Linear(width, _NARROW)
        self.pose = nn.Linear(width + count * _NARROW, 6 * rotations)
        self.shape = nn.Linear(width, phenotypes)
        self.size = nn.Linear(width, 1)
        nn.init.trunc_normal_(self.names, std=0.5)
        for linear in (self.pose, self.shape, self.size, self.first[-1]):
            nn.init.normal_(linear.weight, std=_SCALE * width**-0.5)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.drawn.bias)
        with torch.no_grad():
            self.drawn.weight.copy_(_from_coco())
        self.usual = size

    def forward(
        self, tokens: Tensor, cells: Tensor, maps: KeypointMaps, camera: Tensor, true: TrueKeypoints | None = None
    ) -> tuple[Predictions, Keypoints]:
        """Predict every slot, each for itself.

        Args:
            tokens: [B, N, D].
            cells: [B, P] int64, the token of each slot.
            maps: of the backbone.
            camera: [B, 3, 3] K in px of the network's input.
            true: in training, keypoints to which those that are seen are moved.
        """
        rows, columns = self.window.rows, self.window.columns
        centres = PATCH * (torch.stack((cells % columns, cells // columns), dim=-1) + 0.5)
        turn = toward(unproject(centres, camera))
        extent = torch.tensor([columns * PATCH, rows * PATCH], dtype=tokens.dtype, device=tokens.device)
        view = PersonView(turn, camera, extent)
        own = gather_tokens(tokens, cells)
        person = self.person(own)
        first = self.first(own).float()  # places and sizes need full precision under autocast
        # From here on `size` is the logarithm of px per metre in the person's view, as if it had the camera's lens.
        joints, size = first[..., :-1].unflatten(-1, (-1, 2)), self.usual + first[..., -1]
        focal = camera[:, None, :1, 0]  # [B, 1, 1]
        angular = _angular(size, focal)
        tangents = [joints * angular]
        # Gradients reach the maps, if they learn, but not the places where these are looked at.
        regressed = self._regressed(maps, view, tangents[0].detach().mean(2), angular)
        found, confidence = self._found(maps, view, regressed.detach(), angular)
        given = GivenKeypoints(regressed, found, joints.detach(), size, confidence, tangents)
        grid = tokens.transpose(1, 2).unflatten(2, (rows, columns))

        def seen(look: _Look, joints: Tensor, angular: Tensor) -> Tensor:
            places = self._places(view, joints, angular)
            near = _sampled(maps.fine, places.flatten(2, 3)).unflatten(2, (len(JOINTS), -1)).flatten(3)
            at = _sampled(grid, places[:, :, :, len(self.around) // 2])
            return look.seen(at, near)

        known = given if true is None else _nearer(given, true, view, angular)
        predictions, keypoints = self._thought(view, person, known, seen)
        keypoints = replace(keypoints, given=given)
        return replace(predictions, offsets=(predictions.offsets - centres) / PATCH), keypoints

    def imagine(self, given: GivenKeypoints, camera: Tensor) -> tuple[Predictions, Keypoints]:
        """Predict people of whom only keypoints are known, one in front of each camera [B, 3, 3]; for training."""
        turn = torch.eye(3, device=camera.device).expand(*given.size.shape, 3, 3)
        view = PersonView(turn, camera, 2 * camera[:1, :2, 2].reshape(2))
        return self._thought(view, torch.zeros_like(self.regressed.bias).expand(*given.size.shape, -1), given, None)

    def _thought(
        self,
        view: PersonView,
        person: Tensor,
        given: GivenKeypoints,
        seen: Callable[[_Look, Tensor, Tensor], Tensor] | None,
    ) -> tuple[Predictions, Keypoints]:
        """Move joints and predict people, from keypoints and, where there is a picture, from what is seen there."""
        person = person + self.regressed(torch.cat((given.regressed, given.found), dim=2).flatten(2))
        focal, size, tangents = view.camera[:, None, :1, 0], given.size, list(given.tangents)
        joints = self.drawn(given.found.flatten(2)).float().unflatten(-1, (-1, 2))
        before = _angular(size, focal)
        tangents.append(joints * before)
        keypoints = self._own_keypoints(given, before) if self.corrections else None
        if self.corrections:
            known = torch.cat((given.confidence, (size.detach() - self.usual)[..., None]), dim=-1)
            person = person + self.trusted(known)
        x = torch.cat((person[:, :, None], self.names.expand(*size.shape, -1, -1)), dim=2)
        for look in self.looks:
            # A person who turns out larger has their joints where they were seen, in other metres.
            angular = _angular(size, focal)
            joints, guessed = tangents[-1].detach() / angular, given.guessed * (before / angular)
            places = [joints, guessed] if keypoints is None else [joints, guessed, _in_metres(keypoints, angular)]
            x, moved, larger = look(x, seen(look, joints, angular) if seen else None, torch.cat(places, dim=-1))
            size = size + larger
            tangents.append((joints + moved) * angular)
        read = self._read(x, size)
        posed = []
        for _ in range(self.corrections):
            assert keypoints is not None
            posed.append(self._posed(read, tangents[-1], focal))
            x = self.correction(x, _compared(posed[-1].detach(), tangents[-1].detach(), keypoints))
            read = self._read(x, size)
        if self.corrections and self.training:
            posed.append(self._posed(read, tangents[-1], focal))
        root = (view.turn[..., None] * read.rotations[:, :, 0, None]).sum(-2)  # their product, not in bfloat16
        head = JOINTS.index("head")
        # In this order: a bundle's network is recovered by the order of its graph's operators.
        predictions = Predictions(
            offsets=view.pixels(tangents[-1][:, :, head : head + 1])[:, :, 0],
            rotations=torch.cat((root[:, :, None], read.rotations[:, :, 1:]), dim=2),
            shape=read.shape,
            size=read.size - torch.log(view.turn[..., 2, 2]),  # depth is measured along the camera's axis
        )
        every = torch.stack(posed, dim=2) if self.corrections and self.training else None
        return predictions, Keypoints(torch.stack(tangents, dim=2), view.turn, given, every)

    def _own_keypoints(self, given: GivenKeypoints, angular: Tensor) -> Tensor:
        """Return of each joint its own keypoint, tangents, and how much that is worth: [B, P, J, 3]."""
        with torch.autocast(angular.device.type, enabled=False):  # places need full precision
            own = (given.found.flatten(2) @ self.own_keypoint.T).unflatten(-1, (-1, 2))
            worth = given.confidence @ self.own_keypoint[::2, ::2].T
        return torch.cat((own * angular, worth[..., None]), dim=-1).detach()

    def _read(self, x: Tensor, size: Tensor) -> _Read:
        """Read a person from the tokens [B, P, 1 + J, W], and the size [B, P] before."""
        x = self.norm(x)
        person = x[:, :, 0]
        pose = self.pose(torch.cat((person, self.narrow(x[:, :, 1:]).flatten(2)), dim=-1)).float() + self.initial_pose
        rotations = matrices_from_rows(pose.unflatten(-1, (self.rotations, 6)))
        shape = torch.sigmoid(self.shape(person).float())
        return _Read(rotations, shape, size + self.size(person)[..., 0].float())

    def _posed(self, read: _Read, tangents: Tensor, focal: Tensor) -> Tensor:
        """Return `POSED` [B, P, J, 3] m in the person's view, of people whose head is where it is seen."""
        with torch.autocast(focal.device.type, enabled=False):  # places need full precision
            joints = self.posed(read.rotations.flatten(0, 1), read.shape.flatten(0, 1))
        head = JOINTS.index("head")
        depth = (focal / torch.exp(read.size)[..., None])[..., None]
        ray = torch.cat((tangents[:, :, head : head + 1], torch.ones_like(depth)), dim=-1)
        return joints.unflatten(0, read.size.shape) + depth * ray

    def crop(self, window: Window) -> None:
        """Expect the tokens of a window only."""
        self.window = window

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `attention`)."""
        for look in self.looks:
            look.use_attention(attention)
        if self.corrections:
            self.correction.block.attn.attention = attention

    def _places(self, view: PersonView, joints: Tensor, angular: Tensor) -> Tensor:
        """Return the places [B, P, J, A, 2] at and around joints [B, P, J, 2] in metres."""
        bounded = joints.clamp(-_REACH, _REACH)
        each = (bounded[:, :, :, None] + self.around) * angular[:, :, :, None]
        return view.places(view.pixels(each.flatten(2, 3))).unflatten(2, (len(JOINTS), -1))

    def _regressed(self, maps: KeypointMaps, view: PersonView, middle: Tensor, angular: Tensor) -> Tensor:
        """Return MoveNet's keypoints [B, P, 17, 2] in metres, from the middle [B, P, 2] (tangents) of each person."""
        pixels = view.pixels(middle[:, :, None].clamp(-_REACH, _REACH))
        moved = _sampled(maps.regressed, view.places(pixels))[:, :, 0].unflatten(-1, (KEYPOINTS, 2)).flip(-1)
        cell = view.size[0] / maps.fine.shape[-1]
        return (view.tangents(pixels + cell * moved) / angular).clamp(-_REACH, _REACH)

    def _found(self, maps: KeypointMaps, view: PersonView, expected: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
        """Return the heat maps' keypoints [B, P, 17, 2] in metres, each about where it is expected, likewise.

        And their confidence [B, P, 17].
        """
        places = (expected[:, :, :, None] + self.searched) * angular[:, :, :, None]
        heat = maps.fine[:, -KEYPOINTS:] / LOGIT
        if self.corrections:  # outside the picture is nothing, not a logit of 0, which few keypoints have
            heat = heat - _NOWHERE
        logits = _sampled(heat, view.places(view.pixels(places.flatten(2, 3)))).unflatten(2, (KEYPOINTS, -1))
        logits = (logits * self.own_map).sum(-1)  # of each keypoint's places its own map
        weights = torch.softmax(_SHARP * logits + self.near, dim=-1)
        confidence = (weights * logits).sum(-1)
        if self.corrections:
            confidence = confidence + _NOWHERE
        return expected + (weights[..., None] * self.searched).sum(-2), _CONFIDENCE[1] * (confidence + _CONFIDENCE[0])


class _Read(NamedTuple):
    """What is read of people, [B, P, ...]: rotations in the person's view, the shape in 0..1, the size's logarithm."""

    rotations: Tensor
    shape: Tensor
    size: Tensor


class _Look(nn.Module):
    """Look at the maps where the joints are, think, and move them."""

    def __init__(self, tokens: int, seen: int, width: int, heads: int, mlp: int, blocks: int, given: int) -> None:
        super().__init__()
        self.token = nn.Linear(tokens, width)
        self.near = nn.Linear(seen, width)
        self.place = nn.Sequential(nn.Linear(4 + given, width // 2), nn.GELU(), nn.Linear(width // 2, width))
        self.blocks = nn.ModuleList(VitBlock(width, heads, mlp, scaled=False) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.move = nn.Linear(width, 2)
        self.size = nn.Linear(width, 1)
        for linear in (self.move, self.size):
            nn.init.normal_(linear.weight, std=_SCALE * width**-0.5)
            nn.init.zeros_(linear.bias)

    def seen(self, at: Tensor, near: Tensor) -> Tensor:
        """Return what is seen of each joint, [B, P, J, W].

        Args:
            at: [B, P, J, D] tokens of the picture where the joints are.
            near: [B, P, J, F] fine features there and around.
        """
        own: Tensor = self.token(at) + self.near(near)
        return own

    def forward(self, x: Tensor, seen: Tensor | None, joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens [B, P, 1 + J, W], how joints move [B, P, J, 2] m, and the size's change [B, P].

        Args:
            x: the tokens, the person's first.
            seen: of `seen`; None: there is no picture.
            joints: [B, P, J, 4] m, where they are and where the person's token says; in [B, P, J, 7] also where their
                keypoint is, and its confidence.
        """
        batch = x.shape[:2]
        more = self.place(joints) if seen is None else self.place(joints) + seen
        x = torch.cat((x[:, :, :1], x[:, :, 1:] + more), dim=2).flatten(0, 1)
        for block in self.blocks:
            x = block(x)
        x = x.unflatten(0, batch)
        normal = self.norm(x)
        return x, self.move(normal[:, :, 1:]).float(), self.size(normal[:, :, 0])[..., 0].float()

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation."""
        for block in self.blocks:
            block.attn.attention = attention


class _Correction(nn.Module):
    """Think about where the joints of the posed person are, and where they were seen."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.place = nn.Sequential(nn.Linear(_COMPARED, width // 2), nn.GELU(), nn.Linear(width // 2, width))
        self.block = VitBlock(width, heads, mlp, scaled=False)

    def forward(self, x: Tensor, compared: Tensor) -> Tensor:
        """Return the tokens [B, P, 1 + J, W]; ``compared`` [B, P, J, 8] is in metres."""
        x = torch.cat((x[:, :, :1], x[:, :, 1:] + self.place(compared)), dim=2)
        batch = x.shape[:2]
        own: Tensor = self.block(x.flatten(0, 1)).unflatten(0, batch)
        return own


def _nearer(given: GivenKeypoints, true: TrueKeypoints, view: PersonView, angular: Tensor) -> GivenKeypoints:
    """Return keypoints without a part of their errors."""
    places = (view.tangents(true.pixels) / angular).clamp(-_REACH, _REACH)
    share = true.share[..., None, None]
    regressed, found = (torch.lerp(places, seen, share) for seen in (given.regressed, given.found))
    return replace(given, regressed=regressed, found=found)


def _in_metres(keypoints: Tensor, angular: Tensor) -> Tensor:
    """Return keypoints [B, P, J, 3] whose tangents x, y are divided by that of a metre, and whose worth is not."""
    return torch.cat((keypoints[..., :2] / angular, keypoints[..., 2:]), dim=-1)


def _compared(posed: Tensor, tangents: Tensor, keypoints: Tensor) -> Tensor:
    """Return what `_Correction` is told of each joint, m at the head: how far from the posed one it and its keypoint
    are.

    Args:
        posed: [B, P, J, 3] m.
        tangents: [B, P, J, 2], where the joints are thought to be.
        keypoints: [B, P, J, 3], see `_own_keypoints`.
    """
    head = JOINTS.index("head")
    depth = posed[:, :, head : head + 1, 2:]
    flat = depth * posed[..., :2] / posed[..., 2:].clamp(min=_AHEAD)
    apart = (depth * tangents - flat, depth * keypoints[..., :2] - flat)
    parts = (*apart, keypoints[..., 2:], flat, posed[..., 2:] - depth)
    return torch.cat(parts, dim=-1).clamp(-_REACH, _REACH)


def _angular(size: Tensor, focal: Tensor) -> Tensor:
    """Return the tangent of a metre at the head, [B, P, 1, 1]; no gradient passes."""
    return (torch.exp(size.detach())[..., None] / focal)[..., None]


def _grid(count: int) -> Tensor:
    """Return offsets [count^2, 2] on a square grid about 0, 1 apart."""
    line = torch.arange(count) - (count - 1) / 2
    return torch.cartesian_prod(line, line)


def _from_coco() -> Tensor:
    """Return the matrix [2 J, 34] from COCO's keypoints to `JOINTS`, x and y alike."""
    weights = torch.zeros(len(JOINTS), KEYPOINTS)
    for row, name in zip(weights, JOINTS, strict=True):
        bone, _, side = name.partition(".")
        if side:
            row[_FROM_COCO[bone] + (side == "R")] = 1
        else:
            pairs = _FROM_PAIRS[bone]
            for first in pairs:
                row[first : first + 2] = 1 / (2 * len(pairs))
    return torch.kron(weights, torch.eye(2))


def toward(rays: Tensor) -> Tensor:
    """Return the smallest rotations [..., 3, 3] that turn the optical axis to rays [..., 3] (z > 0)."""
    x, y, z = (rays / torch.linalg.vector_norm(rays, dim=-1, keepdim=True)).unbind(-1)
    k = 1 / (1 + z)
    rows = (1 - x * x * k, -x * y * k, x, -x * y * k, 1 - y * y * k, y, -x, -y, z)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _sampled(maps: Tensor, places: Tensor) -> Tensor:
    """Return the maps [B, C, H, W] at places [B, P, N, 2] in -1..1, bilinear, [B, P, N, C]; 0 outside."""
    return functional.grid_sample(maps, places, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
