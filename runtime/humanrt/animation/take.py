"""Takes: a person's motion with one shape, as animation files have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from humanrt.checks import check_range
from humanrt.errors import HumanrtError
from humanrt.geometry.bones import BoneTree, bone_tree
from humanrt.geometry.rotation import between, matrices_from_vectors
from humanrt.geometry.skeleton import Array, world_rotations
from humanrt.outputs.tracks import PersonTrack
from humanrt.people.rig import BodyRig
from humanrt.people.two_sided import TwoSidedOptions, smooth_track

__all__ = ["Take", "about_people", "take_of"]

_GAP = 0.5  # s without the person, from which they count as away


@dataclass(frozen=True, repr=False)
class Take:
    """A person's motion with one shape. F frames, R bones.

    Attributes:
        id: identity.
        tree: the bones.
        t: [F] s.
        local: [F, R, 3, 3] rotations relative to the parents; the root's from the body's axes to the camera's.
        root: [F, 3] m, camera space, where the root bone is.
        rest: [R, 3] m, where the bones begin at rest, from the root, in the body's own axes.
        shape: [S] of the body model.
        expression: [F, E].
        present: [P, 2] s, from when to when the person is seen.
    """

    id: int
    tree: BoneTree
    t: Array
    local: Array
    root: Array
    rest: Array
    shape: Array
    expression: Array
    present: Array

    def __repr__(self) -> str:
        return f"<take of person {self.id}, {len(self.t)} frames, {self.t[-1] - self.t[0]:.2f} s>"

    def heads(self) -> Array:
        """Return where the bones begin, [F, R, 3] m, camera space."""
        return self.tree.positions(self.rest, world_rotations(self.local, self.tree.parents), self.root)

    def at_rate(self, fps: float) -> Take:
        """Return the take at evenly spaced times: rotations turn the shorter way, all else changes linearly.

        Raises:
            InvalidInputError: the rate is not a number of 0.1 to 1000.
        """
        check_range(fps, "fps", 0.1, 1000.0)
        count = int(np.floor((self.t[-1] - self.t[0]) * fps + 1e-6)) + 1
        t = self.t[0] + np.arange(count) / fps
        after = np.clip(np.searchsorted(self.t, t, side="right"), 1, max(len(self.t) - 1, 1))
        before = np.minimum(after - 1, len(self.t) - 1)
        after = np.minimum(after, len(self.t) - 1)
        span = self.t[after] - self.t[before]
        part = np.clip((t - self.t[before]) / np.where(span > 0, span, 1.0), 0.0, 1.0)
        local = between(self.local[before], self.local[after], part[:, None, None])

        def linear(values: Array) -> Array:
            return np.asarray(values[before] + part[:, None] * (values[after] - values[before]))

        return replace(self, t=t, local=local, root=linear(self.root), expression=linear(self.expression))

    def smoothed(self, seconds: float) -> Take:
        """Return the take with less trembling: each moment from what is before and after it, so nothing lags.

        Args:
            seconds: standard deviation of the weights in time; four times as much for the distance from the camera,
                which trembles most. Movements shorter than about twice that shrink.
        """
        options = TwoSidedOptions(seconds, seconds, 4 * seconds)
        local, root = self.local.copy(), self.root.copy()
        for start, end in self.present:
            span = (self.t >= start) & (self.t <= end)
            local[span], root[span] = smooth_track(self.t[span], local[span], root[span], options)
        return replace(self, local=local, root=root)


def about_people(header: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a recording's header that is about people; of several pipelines side by side, theirs."""
    people = header.get("people")
    return people if isinstance(people, Mapping) else header


def take_of(track: PersonTrack, header: Mapping[str, Any], rig: BodyRig | None = None) -> Take:
    """Return the motion of a track with one shape, the median of all frames in which the person was found.

    Args:
        track: the track.
        header: of its recording, or the part about people.
        rig: the body; None: what the recording's joints say of it. A recording without joints needs it.

    Raises:
        SkeletonError: the rotations are of no known bones.
        HumanrtError: there are no joints in the recording, and no rig.
    """
    about = about_people(header)
    names = about.get("bones")
    tree = bone_tree(names if isinstance(names, list) else None, track.rotations.shape[1])
    local = matrices_from_vectors(track.rotations)
    found = ~track.filled if (~track.filled).any() else np.ones(len(track), bool)
    shape = np.median(track.shape[found], axis=0)
    heads = _heads(track, about, tree)
    if rig is not None:
        rest = rig.rest(shape)
    elif heads is not None:
        rest = tree.rest(np.median(tree.offsets(local, heads)[found], axis=0))
    else:
        raise HumanrtError("the recording has no joints (--parameters-only); name its bundle: --bundle NAME|PATH")
    posed = tree.positions(rest, world_rotations(local, tree.parents), np.zeros(3))
    # Where all bones together are nearest to those of the frame's own shape; without joints, where the head is.
    near = track.translation - posed[:, tree.names.index("head")] if heads is None else (heads - posed).mean(axis=1)
    values = (track.t, local, near, track.expression)
    if not all(np.isfinite(value).all() for value in values):
        raise HumanrtError(f"person {track.id} has values in the recording that are not numbers; record it again")
    return Take(track.id, tree, track.t, local, near, rest, shape, track.expression, _present(track.t))


def _heads(track: PersonTrack, about: Mapping[str, Any], tree: BoneTree) -> Array | None:
    """Return where the bones begin in each frame, [F, R, 3] m; None if the recording does not say."""
    joints = about.get("joints")
    if not isinstance(joints, list) or track.joints.shape[1] != len(joints) or not joints:
        return None
    index = {name: k for k, name in enumerate(joints)}
    if any(bone not in index for bone in tree.names):
        return None
    return track.joints[:, [index[bone] for bone in tree.names]]


def _present(t: Array) -> Array:
    """Return the spans [P, 2] s between which a person is seen."""
    usual = float(np.median(np.diff(t))) if len(t) > 1 else 0.0
    breaks = np.flatnonzero(np.diff(t) > max(_GAP, 3 * usual))
    starts, ends = np.append(0, breaks + 1), np.append(breaks, len(t) - 1)
    return np.stack([t[starts], t[ends]], axis=1)
