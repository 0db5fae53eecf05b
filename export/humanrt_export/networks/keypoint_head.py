"""The head of Multi-HMR on Anny that looks where a person's joints are: one token for each joint.

A person's token says roughly where their joints are; from their middle MoveNet's regression says it better, and its
heat maps say it once more. Maps of features and keypoints are sampled there and around, a small transformer moves the
joints, looks again, and regresses pose, shape, place and size. Whoever finds joints in real pictures, as MoveNet does,
thereby poses real people.

Joints are in the *person's view*: a camera at the real one's place that points at the person's token. Its tangents
(x, y at depth 1) do not depend on the lens or on where in the picture the person is; divided by the person's angular
size, they are metres in the plane of their head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.anny_head import Predictions, upright
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import VitBlock
from humanrt_export.networks.camera import PATCH, Window, unproject
from humanrt_export.networks.detection import gather_tokens
from humanrt_export.networks.keypoint_backbone import LOGIT, KeypointMaps
from humanrt_export.networks.movenet import KEYPOINTS, MoveNet
from humanrt_export.networks.rotations import matrices_from_rows

__all__ = ["JOINTS", "GivenKeypoints", "KeypointHead", "Keypoints", "PersonView", "toward"]

JOINTS = (
    *("root", "spine02", "neck01", "head"),
    *(f"{name}.{side}" for side in "LR" for name in ("eye", "upperarm01", "lowerarm01", "wrist", "finger3-1")),
    *(f"{name}.{side}" for side in "LR" for name in ("upperleg01", "lowerleg01", "foot", "big-toe-tip")),
)
"""Anny's joints that have a token each."""

_APART = 0.1  # m between the 3 x 3 places around a joint that are looked at
# A heat map's keypoint is the mean of 9 x 9 places about where the regression expects it, weighted by the exponential
# of `_SHARP` times the logit, and by a normal distribution. Chosen on pictures for training.
_SEARCHED, _SEARCHED_APART, _SHARP, _SPREAD = 9, 0.08, 2.0, 0.2  # m
_REACH = 3.0  # m; a joint that is farther from the head is looked for at this distance
_AHEAD = 0.1  # least depth of what is projected
_NARROW = 24  # numbers of a joint that the pose is read from directly
_SCALE = 0.02
# Before training each joint is at a keypoint, or at the mean of one or two pairs (COCO's left and right).
_FROM_COCO = {"eye": 1, "upperarm01": 5, "lowerarm01": 7, "wrist": 9, "finger3-1": 9, "upperleg01": 11}
_FROM_COCO |= {"lowerleg01": 13, "foot": 15, "big-toe-tip": 15}
_FROM_PAIRS = {"root": (11,), "spine02": (5, 11), "neck01": (5,), "head": (3,)}


@dataclass(frozen=True)
class Keypoints:
    """Where joints are thought to be, for the losses.

    Attributes:
        tangents: [B, P, L, J, 2] x, y at depth 1 in the person's view, of each of the L looks.
        turn: [B, P, 3, 3] from the person's view to the camera's.
    """

    tangents: Tensor
    turn: Tensor


@dataclass(frozen=True)
class GivenKeypoints:
    """What is known of people before the head looks for their joints.

    Attributes:
        regressed, found: [B, P, 17, 2] m, MoveNet's keypoints by its regression, and by its heat maps.
        guessed: [B, P, J, 2] m, joints as the person's token says.
        size: [B, P] logarithm of px per metre in the person's view, likewise; the metres above are measured by it.
        tangents: [B, P, J, 2] each, earlier guesses for `Keypoints`.
    """

    regressed: Tensor
    found: Tensor
    guessed: Tensor
    size: Tensor
    tangents: Sequence[Tensor] = ()


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
        self.looks = nn.ModuleList(_Look(tokens, seen, width, heads, mlp, blocks) for blocks in halves)
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
        self, tokens: Tensor, cells: Tensor, maps: KeypointMaps, camera: Tensor
    ) -> tuple[Predictions, Keypoints]:
        """Predict every slot, each for itself.

        Args:
            tokens: [B, N, D].
            cells: [B, P] int64, the token of each slot.
            maps: of the backbone.
            camera: [B, 3, 3] K in px of the network's input.
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
        found = self._found(maps, view, regressed.detach(), angular)
        given = GivenKeypoints(regressed, found, joints.detach(), size, tangents)
        grid = tokens.transpose(1, 2).unflatten(2, (rows, columns))

        def seen(look: _Look, joints: Tensor, angular: Tensor) -> Tensor:
            places = self._places(view, joints, angular)
            near = _sampled(maps.fine, places.flatten(2, 3)).unflatten(2, (len(JOINTS), -1)).flatten(3)
            at = _sampled(grid, places[:, :, :, len(self.around) // 2])
            return look.seen(at, near)

        predictions, keypoints = self._thought(view, person, given, seen)
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
        x = torch.cat((person[:, :, None], self.names.expand(*size.shape, -1, -1)), dim=2)
        for look in self.looks:
            # A person who turns out larger has their joints where they were seen, in other metres.
            angular = _angular(size, focal)
            joints, guessed = tangents[-1].detach() / angular, given.guessed * (before / angular)
            places = torch.cat((joints, guessed), dim=-1)
            x, moved, larger = look(x, seen(look, joints, angular) if seen else None, places)
            size = size + larger
            tangents.append((joints + moved) * angular)
        x = self.norm(x)
        person = x[:, :, 0]
        pose = self.pose(torch.cat((person, self.narrow(x[:, :, 1:]).flatten(2)), dim=-1)).float() + self.initial_pose
        rotations = matrices_from_rows(pose.unflatten(-1, (self.rotations, 6)))
        root = (view.turn[..., None] * rotations[:, :, 0, None]).sum(-2)  # their product, not in bfloat16
        rotations = torch.cat((root[:, :, None], rotations[:, :, 1:]), dim=2)
        size = size + self.size(person)[..., 0].float()
        head = JOINTS.index("head")
        predictions = Predictions(
            offsets=view.pixels(tangents[-1][:, :, head : head + 1])[:, :, 0],
            rotations=rotations,
            shape=torch.sigmoid(self.shape(person).float()),
            size=size - torch.log(view.turn[..., 2, 2]),  # depth is measured along the camera's axis
        )
        return predictions, Keypoints(torch.stack(tangents, dim=2), view.turn)

    def crop(self, window: Window) -> None:
        """Expect the tokens of a window only."""
        self.window = window

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `attention`)."""
        for look in self.looks:
            look.use_attention(attention)

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

    def _found(self, maps: KeypointMaps, view: PersonView, expected: Tensor, angular: Tensor) -> Tensor:
        """Return the heat maps' keypoints [B, P, 17, 2] in metres, each about where it is expected, likewise."""
        places = (expected[:, :, :, None] + self.searched) * angular[:, :, :, None]
        heat = maps.fine[:, -KEYPOINTS:] / LOGIT
        logits = _sampled(heat, view.places(view.pixels(places.flatten(2, 3)))).unflatten(2, (KEYPOINTS, -1))
        logits = (logits * self.own_map).sum(-1)  # of each keypoint's places its own map
        weights = torch.softmax(_SHARP * logits + self.near, dim=-1)
        return expected + (weights[..., None] * self.searched).sum(-2)


class _Look(nn.Module):
    """Look at the maps where the joints are, think, and move them."""

    def __init__(self, tokens: int, seen: int, width: int, heads: int, mlp: int, blocks: int) -> None:
        super().__init__()
        self.token = nn.Linear(tokens, width)
        self.near = nn.Linear(seen, width)
        self.place = nn.Sequential(nn.Linear(4, width // 2), nn.GELU(), nn.Linear(width // 2, width))
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
            joints: [B, P, J, 4] m, where they are and where the person's token says.
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
