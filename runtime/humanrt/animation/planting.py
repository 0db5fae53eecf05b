"""Planting: people put on the floor, whose feet stay where they stand.

1. Contacts: heel and ball of each foot, each for itself, while they are near the floor and slow; the slower foot may be
   faster if the other is faster still, as bodies move along the line of sight by themselves. Gaps in a contact that
   goes on in the same place are closed, and so are those in which nobody would stand on anything; contacts begin
   earlier and end later where the sole already is, and still is, in its place. Nobody stands on anything in flight,
   which is told by where lines of sight through the soles reach the floor: that moves with a jump, but not with errors
   of the distance.
2. The whole body is moved, by what distances from the camera are uncertain and smoothly in time, so that soles in
   contact rest on the floor and keep their place: a linear least-squares problem in the root's path, solved for slow
   soles, and then again for the contacts that were found.
3. What is left, some millimetres, is solved by the legs: hip, knee and foot turn, knees keep their direction. Outside
   of contacts that fades out within `_FADE`, and no sole sinks into the floor.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.soles import Leg, Soles
from humanrt.animation.take import Take
from humanrt.geometry.bones import to_gltf_axes
from humanrt.geometry.ground import Ground
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import Array, local_rotations, shortest_arc, world_rotations
from humanrt.smoothing.two_sided import two_sided_points, two_sided_rotations

__all__ = ["contacts_of", "flights_of", "grounded", "planted"]

Flags = NDArray[np.bool_]

_CALM, _DRIFT = 0.1, 0.4  # s: smoothing of rotations, and at first of the root, in which contacts are looked for
_LEVEL = 0.5  # s, over which a body's lowest sole is taken to be on the floor
_NEAR, _SLOW = 0.05, 0.7  # m above the floor, m/s: of soles in contact
_SHORT, _GAP = 0.1, 0.07  # s: shorter contacts are none, shorter gaps in one are none
_FASTER, _MORE = 1.0, 1.5  # m/s by which the other foot is faster; part by which a sole may then be faster, too
_LOST, _SAME = 0.4, 0.12  # s, m: gaps in a contact that goes on in the same place
_LOW, _FAR = 0.08, 0.6  # m: somebody so near the floor stands on it: then the place may be so far off, seen wrongly
_WITHIN, _LIFTED, _EARLY = 0.06, 0.05, 0.15  # m, m, s: frames beside a contact in which the sole is still in its place
_FLYING = 0.3  # m above the floor: a jump, or not on this floor
_LEAP, _ALOFT = 1.8, 0.8  # m/s of every sole across the floor, as the camera sees it: once in a flight, and throughout
_ALIKE = 1.0  # m/s by which feet differ in a hop; in a step they differ by more
_LAUNCH = 0.2  # s, at most, that a flight begins before and ends after it is as fast as that
_APEX = 0.25  # s: at the top of a jump on the spot soles are slow
_SHALLOW, _HORIZON = 4.0, 0.3  # distance by height of the camera: beyond, trembling looks fast; m below it: not seen

_ACROSS, _ALONG = 0.01, 0.05  # uncertainty of the place, as parts of the distance: across the line of sight, along it
_SLIDE, _TOUCH = 0.002, 0.01  # m: how far a sole in contact slides a frame (1/30 s), how far it is off the floor
_PUSH, _LEAPING = 4.0, 40.0  # m/s^2, accelerations of bodies; in flight, beside how they are seen to accelerate
_AGAIN, _FOUND = 2, 0.03  # how often contacts are found anew; how surely what is in one stands, at least
_FADE = 0.2  # s
_REACH = 0.999  # of a leg's length, to which it is straightened


def grounded(take: Take, ground: Ground) -> Take:
    """Return a take in the floor's axes: x to the right, y down along gravity and 0 on the floor, z ahead.

    The origin is on the floor below the camera.
    """
    local = take.local.copy()
    local[:, 0] = ground.axes @ local[:, 0]
    return replace(take, local=local, root=take.root @ ground.axes.T - (0.0, ground.height, 0.0))


def planted(take: Take, soles: Soles, ground: Ground) -> Take:
    """Return a take in the floor's axes (`grounded`) whose feet stay where they stand.

    Args:
        take: the motion, camera space.
        soles: of its body.
        ground: the floor.
    """
    result = grounded(take, ground)
    eye = np.array([0.0, -ground.height, 0.0])
    local, root = result.local.copy(), result.root.copy()
    for start, end in take.present:
        span = np.flatnonzero((take.t >= start) & (take.t <= end))
        if len(span) < 3:
            continue
        part = _part(result, span)
        flying = flights_of(part, soles, ground)
        down = ~flying[:, None]
        moved = replace(part, root=_settled(part, soles, eye, flying))
        for drift in (_DRIFT, _CALM):
            touching = down * _touching(moved.t, _calm(moved, soles, drift))
            moved = replace(moved, root=_held(moved, soles, touching, eye, flying))
        for _ in range(_AGAIN):
            found = contacts_of(moved, soles, flying).reshape(len(span), 4)
            touching = down * np.maximum(_touching(moved.t, _calm(moved, soles, _CALM)), _FOUND * found)
            moved = replace(moved, root=_held(moved, soles, touching, eye, flying))
        local[span] = _stepped(moved, soles, contacts_of(moved, soles, flying))
        root[span] = moved.root
    return replace(result, local=local, root=root)


def _part(take: Take, span: NDArray[np.int64]) -> Take:
    return replace(take, t=take.t[span], local=take.local[span], root=take.root[span], expression=take.expression[span])


def flights_of(take: Take, soles: Soles, ground: Ground) -> Flags:
    """Return when somebody is in flight, [F]: no sole keeps its place on the floor, as the camera sees it.

    A sole seen at a wrong distance is on the same line of sight as the true one. Both feet move
    alike: flights between the steps of somebody who runs are not looked for. A short, low jump on the spot is not told
    from trembling.

    Args:
        take: a take in the floor's axes (`grounded`), before its people are moved.
        soles: of its body.
        ground: the floor.
    """
    calm = _calm(take, soles, _CALM)
    below = calm[..., 1:2] + ground.height
    places = (calm * ground.height / np.maximum(below, _HORIZON))[..., ::2]  # y of the camera is not needed
    away = np.linalg.norm(places, axis=-1, keepdims=True)
    outward = places / np.maximum(away, 1e-9)
    motion = np.gradient(places, take.t, axis=0)
    along = (motion * outward).sum(axis=-1, keepdims=True)
    across = motion - along * outward
    along *= np.minimum(1.0, _SHALLOW * ground.height / np.maximum(away, 1e-9))
    speeds = np.sqrt((across**2).sum(axis=-1) + along[..., 0] ** 2).min(axis=1)
    speeds[(below < _HORIZON).any(axis=(1, 2))] = 0.0
    paths = np.gradient(calm, take.t, axis=0)
    feet = paths.reshape(-1, 2, 2, 3).mean(axis=2)
    alike = np.linalg.norm(feet[:, 0] - feet[:, 1], axis=-1) < _ALIKE
    # Up and towards the camera at once may look like neither: how far a flight goes is told by the motion, too.
    moving = np.linalg.norm(paths, axis=-1).min(axis=1)
    flying = np.zeros(len(take.t), bool)
    for start, end in _stretches(np.maximum(speeds, moving) > _ALOFT):
        leaps = take.t[start:end][(alike & (speeds > _LEAP))[start:end]]
        if len(leaps):
            here = (take.t >= leaps[0] - _LAUNCH) & (take.t <= leaps[-1] + _LAUNCH)
            flying[start:end] = here[start:end]
    for start, end in _stretches(~flying):
        if start > 0 and end < len(flying) and take.t[end] - take.t[start] < _APEX:
            flying[start:end] = True
    return flying


def contacts_of(take: Take, soles: Soles, flying: Flags | None = None) -> Flags:
    """Return when heel and ball of each foot stand on the floor, [F, 2, 2].

    Args:
        take: a take in the floor's axes (`grounded`).
        soles: of its body.
        flying: [F], nothing stands (`flights_of`).
    """
    calm = _calm(take, soles, _CALM)
    flying = np.zeros(len(take.t), bool) if flying is None else flying
    touching = (_touching(take.t, calm) > 0) & ~flying[:, None]
    low = np.asarray(-calm[..., 1].max(axis=1) < _LOW)  # y is down
    standing = np.asarray(touching.reshape(-1, 2, 2).any(axis=2))
    for k in range(touching.shape[1]):
        _bridge(touching[:, k], take.t, calm[:, k, ::2], low & ~standing[:, 1 - k // 2], flying)
        _widen(touching[:, k], take.t, calm[:, k])
    touching &= ~flying[:, None]
    return np.asarray(touching.reshape(-1, 2, 2))


def _calm(take: Take, soles: Soles, drift: float) -> Array:
    """Return the soles' paths [F, 4, 3] m without trembling."""
    t = take.t
    calm = replace(take, local=two_sided_rotations(take.local, t, _CALM), root=two_sided_points(take.root, t, drift))
    return soles.at(calm).reshape(len(t), 4, 3)


def _touching(t: Array, paths: Array) -> Array:
    """Return how surely soles stand, [F, 4] of 0 to 1: near the floor, and the slower the more.

    Args:
        t: [F] s.
        paths: [F, 4, 3] m, of heel and ball of both feet (`_calm`).
    """
    heights = -paths[..., 1]
    speeds = np.linalg.norm(np.gradient(paths, t, axis=0), axis=-1)
    feet = speeds.reshape(-1, 2, 2).min(axis=2)
    ahead = np.clip((feet[:, ::-1] - feet) / _FASTER, 0.0, 1.0).repeat(2, axis=1)
    slow = _SLOW * (1 + _MORE * ahead)
    lowest = heights.min(axis=1, keepdims=True)
    near = (heights - np.clip(lowest, -_FLYING, _NEAR) < _NEAR) & (lowest < _FLYING)
    return np.asarray(near * np.clip(1 - (speeds / slow) ** 2, 0.0, 1.0) ** 2)


def _bridge(flags: Flags, t: Array, places: Array, alone: Flags, flying: Flags) -> None:
    """Close short gaps and drop short stretches, in place.

    Args:
        flags: [F].
        t: [F] s.
        places: [F, 2] m on the floor: a longer gap is closed where the sole stands in the same place after it.
        alone: [F], the person is near the floor, and the other foot does not stand: this one must.
        flying: [F], nothing stands: gaps stay open.
    """
    for start, end in _stretches(~flags):
        if start > 0 and end < len(flags) and not flying[start:end].any():
            gap = t[end] - t[start]
            moved = float(np.linalg.norm(places[end] - places[start - 1]))
            same = _FAR if alone[start:end].all() else _SAME
            if gap < _GAP or (gap < _LOST and moved < same):
                flags[start:end] = True
    for start, end in _stretches(flags):
        if t[min(end, len(t) - 1)] - t[start] < _SHORT:
            flags[start:end] = False


def _widen(flags: Flags, t: Array, path: Array) -> None:
    """Begin contacts earlier and end them later, in place, as long as the sole [F, 3] is where it stands.

    A foot that is set down, or about to be lifted, is faster than one that stands, and in the same place.
    """
    heights = -path[:, 1]
    for start, end in _stretches(flags):
        place, height = path[start:end, ::2].mean(axis=0), float(heights[start:end].mean())
        here = (np.linalg.norm(path[:, ::2] - place, axis=1) < _WITHIN) & (heights - height < _LIFTED)
        before, after = start, end
        while before > 0 and here[before - 1] and t[start] - t[before - 1] < _EARLY:
            before -= 1
        while after < len(flags) and here[after] and t[after] - t[end - 1] < _EARLY:
            after += 1
        flags[before:after] = True


def _stretches(flags: Flags) -> list[tuple[int, int]]:
    """Return the ranges [start, end) of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _settled(take: Take, soles: Soles, eye: Array, flying: Flags) -> Array:
    """Return the root's path with the lowest sole on the floor, slowly: bodies move along their line of sight."""
    lowest = soles.at(take)[..., 1].max(axis=(1, 2))  # y is down
    off: Array = np.where(np.abs(lowest) < _FLYING, -lowest, 0.0)
    if not flying.all():
        off = np.asarray(np.interp(take.t, take.t[~flying], off[~flying]), np.float64)
    off = two_sided_points(off[:, None], take.t, _LEVEL)[:, 0]
    rays = take.root - eye
    steep = np.maximum(lowest - eye[1], 0.3)  # m of the soles below the camera
    share = steep**2 * _ALONG**2 / (steep**2 * _ALONG**2 + (rays**2).sum(axis=1) * _ACROSS**2)
    root = take.root + rays * (share * off / steep)[:, None]
    root[:, 1] += (1 - share) * off
    return np.asarray(root)


def _held(take: Take, soles: Soles, touching: Array, eye: Array, flying: Flags) -> Array:
    """Return the root's path with which soles in contact slide and float the least.

    A linear problem in the correction c [F, 3]: how uncertain the place is, how much soles in contact move with it from
    frame to frame and are off the floor, and how much the body accelerates; in flight, how much otherwise than it is
    seen to do.
    """
    t, count = take.t, len(take.t)
    points = soles.at(take).reshape(count, 4, 3)
    rays = take.root - eye
    depth = np.maximum(np.linalg.norm(rays, axis=1), 0.3)
    rays = rays / depth[:, None]
    outer = rays[:, :, None] * rays[:, None, :]
    place = (np.eye(3) - outer) / (_ACROSS * depth[:, None, None]) ** 2 + outer / (_ALONG * depth[:, None, None]) ** 2
    steps = np.diff(t)
    rate = float(np.median(steps)) * 30.0
    diagonal = place * min(rate / 5.0, 1.0)  # errors of the place are alike for some frames
    upper = np.zeros((count, 3, 3))  # from a frame to the next
    second = np.zeros((count, 3, 3))  # to the one after
    right = np.zeros((count, 3))
    down = np.array([0.0, 1.0, 0.0])
    diagonal[:, 1, 1] += touching.sum(axis=1) / _TOUCH**2
    right -= down * ((touching * points[..., 1]).sum(axis=1) / _TOUCH**2)[:, None]
    both = np.minimum(touching[1:], touching[:-1])
    slide = (_SLIDE * np.maximum(steps * 30.0, 1e-3)) ** 2
    worth = both.sum(axis=1) / slide
    pulls = (both[..., None] * (points[1:] - points[:-1])).sum(axis=1) / slide[:, None]
    eyes = np.eye(3)
    diagonal[1:] += worth[:, None, None] * eyes
    diagonal[:-1] += worth[:, None, None] * eyes
    upper[:-1] -= worth[:, None, None] * eyes
    right[1:] -= pulls
    right[:-1] += pulls
    # Accelerations of the body: the differences of speeds before and after a frame, over the mean step.
    h0, h1 = steps[:-1], steps[1:]
    mean = (h0 + h1) / 2
    a, b, c = 1 / (h0 * mean), -(1 / h0 + 1 / h1) / mean, 1 / (h1 * mean)
    leaping = np.asarray((np.abs(t[1:-1, None] - t[None, flying]) <= _CALM).any(axis=1))  # and pushing off, and landing
    smooth = np.where(leaping, 1 / _LEAPING**2, 1 / _PUSH**2)
    free = two_sided_points(take.root, t, _CALM)
    own, seen = (a[:, None] * p[:-2] + b[:, None] * p[1:-1] + c[:, None] * p[2:] for p in (take.root, free))
    pushes = own - leaping[:, None] * seen
    for offset, values in ((0, a), (1, b), (2, c)):
        diagonal[offset : count - 2 + offset] += (smooth * values * values)[:, None, None] * eyes
        right[offset : count - 2 + offset] -= (smooth * values)[:, None] * pushes
    upper[: count - 2] += (smooth * a * b)[:, None, None] * eyes
    upper[1 : count - 1] += (smooth * b * c)[:, None, None] * eyes
    second[: count - 2] += (smooth * a * c)[:, None, None] * eyes
    return np.asarray(take.root + _solve_banded(diagonal, upper, second, right))


def _solve_banded(diagonal: Array, upper: Array, second: Array, right: Array) -> Array:
    """Solve a symmetric positive definite system whose blocks [N, 3, 3] couple each frame with the next two.

    Frames are taken in pairs, which makes it block tridiagonal: block Cholesky forward, substitution backward.
    """
    count = len(right)
    if count % 2:
        diagonal = np.concatenate([diagonal, np.eye(3)[None]])
        upper, second = (np.concatenate([one, np.zeros((1, 3, 3))]) for one in (upper, second))
        right = np.concatenate([right, np.zeros((1, 3))])
    pairs = len(right) // 2
    middle = np.zeros((pairs, 6, 6))
    middle[:, :3, :3], middle[:, 3:, 3:] = diagonal[::2], diagonal[1::2]
    middle[:, :3, 3:] = upper[::2]
    middle[:, 3:, :3] = np.swapaxes(upper[::2], 1, 2)
    across = np.zeros((pairs, 6, 6))  # from a pair to the next
    across[:, :3, :3], across[:, 3:, 3:] = second[::2], second[1::2]
    across[:, 3:, :3] = upper[1::2]
    values = right.reshape(pairs, 6).copy()
    gains = np.zeros((pairs, 6, 6))
    for k in range(pairs):
        if k:
            middle[k] -= across[k - 1].T @ gains[k - 1]
            values[k] -= gains[k - 1].T @ values[k - 1]
        if k < pairs - 1:
            gains[k] = np.linalg.solve(middle[k], across[k])
    result = np.linalg.solve(middle, values[..., None])[..., 0]
    for k in range(pairs - 2, -1, -1):
        result[k] -= gains[k] @ result[k + 1]
    return np.asarray(result.reshape(-1, 3)[:count])


def _stepped(take: Take, soles: Soles, contacts: Flags) -> Array:
    """Return local rotations [F, R, 3, 3] with which soles in contact keep their place on the floor."""
    world = world_rotations(take.local, take.tree.parents)
    heads = take.tree.positions(take.rest, world, take.root)
    points = soles.placed(world, heads)
    for foot, leg in enumerate(soles.legs):
        flags = contacts[:, foot]
        rest = soles.points[foot]
        targets = _targets(points[:, foot], flags)
        turn = _turned(take.t, world[:, leg.foot], rest, targets, flags)
        rotation = turn @ world[:, leg.foot]
        arms = np.einsum("fij,pj->fpi", rotation, rest)
        off = targets - heads[:, leg.foot, None] - arms
        number = flags.sum(axis=1)
        shift = (off * flags[..., None]).sum(axis=1) / np.maximum(number, 1)[:, None]
        shift = _faded(take.t, shift, np.asarray(flags.any(axis=1)))
        ankle = heads[:, leg.foot] + shift
        sunk = np.maximum((ankle[:, None] + arms)[..., 1].max(axis=1), 0.0)  # y is down
        ankle[:, 1] -= sunk
        _reach(world, heads, take, leg, ankle)
        for bone in take.tree.beyond(leg.foot):
            world[:, bone] = turn @ world[:, bone]
    return local_rotations(world, take.tree.parents)


def _targets(points: Array, flags: Flags) -> Array:
    """Return where heel and ball of a foot, now at points [F, 2, 3], belong while they stand; elsewhere the points."""
    targets = points.copy()
    for point in range(2):
        for start, end in _stretches(flags[:, point]):
            place = targets[start:end, point].mean(axis=0)
            targets[start:end, point] = (place[0], 0.0, place[2])
    return targets


def _turned(t: Array, world: Array, rest: Array, targets: Array, flags: Flags) -> Array:
    """Return rotations [F, 3, 3] of a foot, by which heel and ball lie along their targets where both stand."""
    both = np.asarray(flags.all(axis=1))
    vectors = np.zeros((len(t), 3))
    if both.any():
        along = np.einsum("fij,j->fi", world[both], rest[1] - rest[0])
        vectors[both] = vectors_from_matrices(shortest_arc(along, targets[both, 1] - targets[both, 0]))
    return np.asarray(matrices_from_vectors(_faded(t, vectors, both)))


def _faded(t: Array, values: Array, known: Flags) -> Array:
    """Return values [F, D] that between known stretches pass into each other, or into 0 if they are far apart."""
    result = np.where(known[:, None], values, 0.0)
    stretches = _stretches(known)
    if not stretches:
        return result
    first, last = stretches[0][0], stretches[-1][1] - 1
    result[:first] = _ease((t[first] - t[:first]) / _FADE) * values[first]
    result[last + 1 :] = _ease((t[last + 1 :] - t[last]) / _FADE) * values[last]
    for (_, end), (start, _) in pairwise(stretches):
        gap, between = t[start] - t[end - 1], slice(end, start)
        before, after = t[between] - t[end - 1], t[start] - t[between]
        if gap < 2 * _FADE:
            part = _ease(before / gap)
            result[between] = part * values[end - 1] + (1 - part) * values[start]
        else:
            result[between] = _ease(before / _FADE) * values[end - 1] + _ease(after / _FADE) * values[start]
    return result


def _ease(x: Array) -> Array:
    """Return [..., 1] falling smoothly from 1 at 0 to 0 at 1."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(1 - x * x * (3 - 2 * x))[..., None]


def _reach(world: Array, heads: Array, take: Take, leg: Leg, ankle: Array) -> None:
    """Turn a leg at hip and knee, in place, so that its ankle is at a place [F, 3]; the foot keeps its direction."""
    hip, knee, end = (heads[:, bone] for bone in (leg.thigh, leg.shank, leg.foot))
    thigh, shank = np.linalg.norm(knee - hip, axis=1), np.linalg.norm(end - knee, axis=1)
    wanted = np.linalg.norm(ankle - hip, axis=1)
    wanted = np.clip(wanted, np.abs(thigh - shank) + 1e-4, (thigh + shank) * _REACH)

    def bend(distance: Array) -> Array:
        cosine = (thigh**2 + shank**2 - distance**2) / (2 * thigh * shank)
        return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))

    now, then = bend(np.linalg.norm(end - hip, axis=1)), bend(wanted)
    # The knee's axis: across the leg's plane; of a straight leg across the body's own, which knees bend about too.
    axis = np.cross(knee - hip, end - knee)
    side = np.einsum("fij,j->fi", world[:, leg.thigh], to_gltf_axes(take.tree)[0])
    axis = axis + 1e-4 * side
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
    at_knee = matrices_from_vectors(axis * (now - then)[:, None])
    bent = knee + np.einsum("fij,fj->fi", at_knee, end - knee)
    at_hip = shortest_arc(bent - hip, ankle - hip)
    foot = set(take.tree.beyond(leg.foot))
    shanks = set(take.tree.beyond(leg.shank)) - foot
    for bone in take.tree.beyond(leg.thigh):
        if bone not in foot:
            world[:, bone] = at_hip @ (at_knee @ world[:, bone] if bone in shanks else world[:, bone])
