"""Pairs for hands: the real front end's output on rendered moving hands, beside the exact ground truth.

::

    python -m humanrt_export.data.poses.pairs_hand --out DIR --seed 1 --clips 250 [--first 0] [--seconds 4] [--raw]

A clip depends only on (seed, index): person, side, light, room, camera, motion, frame times, blur, noise.
`HandTracker` gets the frames in order, with their real time stamps, as in live use: it loses the hand, finds it
again, and is sometimes wrong about the side. The cameras remove most of the noise of a still picture, as webcams do
(without that, observations at rest jitter two to four times as much as those of a recording); ``--raw``: they do not,
and are further away. Existing clips are kept, so that a run can be resumed.

A clip is one .npz (T frames, all hands mirrored to right ones; camera axes x right, y down, z forward):

    t [T] s; observed [T, 21, 3] m, relative to the mean of the 21, NaN where lost; score [T], 0 where lost
    keypoints [T, 21, 3] m, ground truth, relative to the mean of the 21; rotations [T, 16, 3, 3] (`hand_rotations`)
    source: command that made it
    identity [T] int32: the tracker's identity of the hand, 0 where lost; wrong_side [T]: the tracker reported the
    other side, so that its observation was mirrored wrongly, as in live use
    observed_2d, keypoints_2d [T, 21, 2] px of the picture as filmed (not mirrored); size [2] W, H; fov [rad]
    visible [T, 21]: the true keypoint is inside the picture; origin [T, 3] m, mean of the 21 in camera space of
    the mirrored picture; rest [16, 3] m, joints at rest (`hand_rest`); side; poses [T, 30]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.camera import project
from humanrt.geometry.mirror import MIRROR
from humanrt.hands.tracker import Hands, HandTracker, TrackerOptions
from humanrt_export.data.poses.clips import PairsConfig, follow, save_pairs
from humanrt_export.entry import run_module
from humanrt_export.options import parse
from humanrt_export.synthetic.hand_model import Arm, load_arm
from humanrt_export.synthetic.hand_repertoire import Layered, hand_rest, hand_rotations, repertoire, varied_motion
from humanrt_export.synthetic.hand_scene import Camera, Look, room
from humanrt_export.synthetic.render import Renderer
from humanrt_export.synthetic.sensor import Filming, NoiseReduction, Sensor, compressed, frame_times, shutter

__all__ = ["Scene", "draw_scene", "frames", "main", "make_pair"]

Array = NDArray[np.float64]

_NEAR = 0.6  # hand sizes: a detection closer than this is the hand
_RATES = {30: 0.66, 15: 0.07, 20: 0.06, 24: 0.08, 25: 0.07, 50: 0.03, 60: 0.03}
_SIZES = ((480, 360), (640, 480), (320, 240), (480, 270), (424, 240))


@dataclass(frozen=True)
class Scene(Filming):
    """Everything about a clip that rendering needs.

    Attributes:
        calm: fraction of the last picture kept where nothing moves (the camera's noise reduction).
    """

    arm: Arm
    motion: Layered
    camera: Camera
    calm: float = 0.0


def draw_scene(
    seed: int, index: int, seconds: float = 4.0, *, size: tuple[int, int] | None = None, raw: bool = False
) -> Scene:
    """Sample clip number ``index`` of ``seed``; ``size`` (W, H) px overrides the sampled one; ``raw``: a camera without
    noise reduction, further away."""
    calm = 0.0 if raw else float(np.random.default_rng([seed, index, 2]).uniform(0.3, 0.9))
    generator = np.random.default_rng([seed, index, 0])
    side = "left" if generator.uniform() < 0.5 else "right"
    # The finer mesh takes twice the time; the coarse one flickers slightly in motion.
    levels = int(generator.uniform() < (0.2 if raw else 0.75))
    arm = load_arm("left" if side == "left" else "right", tuple(generator.normal(0, 0.9, 6)), levels=levels)
    drawn = _SIZES[generator.choice(len(_SIZES), p=[0.55, 0.08, 0.12, 0.15, 0.1])]
    size = size or drawn
    camera = Camera(size, fov=float(generator.uniform(0.85, 1.2)))
    leave = bool(generator.uniform() < 0.15)
    motion = varied_motion(
        arm,
        repertoire(arm, generator, 24),
        generator,
        seconds=seconds,
        fov=camera.fov,
        aspect=size[1] / size[0],
        depth=(0.30, 0.85) if raw else (0.28, 0.6),
        leave=leave,
    )
    t, fps = frame_times(generator, seconds, _RATES, stutter=0.35, drop=0.2, dropped=0.12)
    dark = generator.uniform() < 0.13
    blurred = dark or generator.uniform() < 0.25
    return Scene(
        arm=arm,
        motion=motion,
        camera=camera,
        t=t,
        exposure=float(generator.uniform(0.5, 0.95) if dark else generator.uniform(0.2, 0.7)) / fps,
        subframes=3 if blurred else 1,
        noise=float(generator.uniform(0.02, 0.05) if dark else np.exp(generator.uniform(np.log(0.002), np.log(0.02)))),
        jpeg=int(generator.integers(35, 95)) if generator.uniform() < 0.6 else 0,
        light=float(generator.uniform(0.1, 0.3) if dark else generator.uniform(0.7, 1.25)),
        calm=calm,
    )


def frames(scene: Scene, seed: int, index: int) -> Iterator[NDArray[np.uint8]]:
    """Render the frames: uint8 [H, W, 3] RGB, one for each time of ``scene.t``."""
    generator = np.random.default_rng([seed, index, 1])
    look = Look.sample(generator).lit(scene.light)
    size = scene.camera.size
    background = scene.light * room(size, generator, bright_side=float(np.sign(look.key[0])))
    sensor = Sensor(size, scene.noise, generator)
    opened = shutter(scene.subframes)
    calmed = NoiseReduction(scene.calm, scene.noise)
    pattern = float(generator.uniform(0, 97))
    # All poses at once: one call per clip instead of one per frame.
    poses = scene.motion.at((scene.t[:, None] + opened * scene.exposure).ravel()).reshape(len(scene.t), -1, 30)
    with Renderer(scene.camera) as renderer:
        for instants in poses:
            layer = np.mean([renderer.draw([(scene.arm, q)], look, seed=pattern) for q in instants], axis=0)
            picture = sensor.develop(layer[..., :3] + background * (1 - layer[..., 3:]))
            if scene.calm:
                picture = calmed(picture)
            yield compressed(picture, scene.jpeg)


def make_pair(
    tracker: HandTracker,
    seed: int,
    index: int,
    seconds: float = 4.0,
    *,
    size: tuple[int, int] | None = None,
    raw: bool = False,
    watch: Callable[[int, NDArray[np.uint8], Hands], None] | None = None,
) -> dict[str, Any]:
    """Render one clip and return the arrays of its .npz (see the module).

    Args:
        tracker: the front end; it is reset first.
        seed, index, seconds, size, raw: as for `draw_scene`.
        watch: called with each frame's number, picture and hands.
    """
    scene = draw_scene(seed, index, seconds, size=size, raw=raw)
    tracker.reset()
    seen = []
    for frame, (picture, t) in enumerate(zip(frames(scene, seed, index), scene.t, strict=True)):
        hands = tracker(picture, float(t))
        seen.append(hands)
        if watch:
            watch(frame, picture, hands)

    arm, left = scene.arm, scene.arm.side == "left"
    poses = scene.motion.at(scene.t)
    placed = arm.keypoints(poses)
    truth_2d = project(placed, scene.camera.intrinsics)
    keypoints = placed * MIRROR if left else placed
    origin = keypoints.mean(axis=1)

    count = len(scene.t)
    observed, observed_2d = np.full((count, 21, 3), np.nan), np.full((count, 21, 2), np.nan)
    score, identity, wrong = np.zeros(count), np.zeros(count, np.int32), np.zeros(count, bool)
    by_identity = [{hand.id: hand for hand in hands} for hands in seen]
    at = [{number: hand.keypoints_2d for number, hand in hands.items()} for hands in by_identity]
    for k, number in enumerate(follow(at, truth_2d, _NEAR)):
        if number is not None:
            hand = by_identity[k][number]
            metric = hand.keypoints_3d.astype(np.float64)
            metric = metric * MIRROR if hand.side == "left" else metric
            observed[k], observed_2d[k] = metric - metric.mean(axis=0), hand.keypoints_2d
            score[k], identity[k], wrong[k] = hand.score, hand.id, hand.side != arm.side
    return {
        "t": scene.t,
        "observed": observed.astype(np.float32),
        "score": score.astype(np.float32),
        "keypoints": (keypoints - origin[:, None]).astype(np.float32),
        "rotations": hand_rotations(arm, poses).astype(np.float32),
        "source": f"humanrt_export.data.poses.pairs_hand --seed {seed} --first {index} --clips 1 --seconds {seconds:g}"
        + (" --raw" if raw else ""),
        "identity": identity,
        "wrong_side": wrong,
        "observed_2d": observed_2d.astype(np.float32),
        "keypoints_2d": truth_2d.astype(np.float32),
        "size": np.array(scene.camera.size),
        "fov": scene.camera.fov,
        "visible": np.all((truth_2d >= 0) & (truth_2d < scene.camera.size), axis=-1),
        "origin": origin.astype(np.float32),
        "rest": hand_rest(arm).astype(np.float32),
        "side": arm.side,
        "poses": poses.astype(np.float32),
    }


@dataclass(frozen=True, kw_only=True)
class HandPairsConfig(PairsConfig):
    """Options of ``python -m humanrt_export.data.poses.pairs_hand``.

    Attributes:
        out: folder; gets hand_SEED_INDEX.npz.
        raw: cameras without noise reduction.
    """

    clips: int = 16
    bundle: str = "hands"
    raw: bool = False


def make_pairs(config: HandPairsConfig) -> None:
    """Render moving hands, track them as in live use, and save both."""
    tracker = HandTracker(config.bundle, "cpu", TrackerOptions(), threads=1)
    save_pairs(config, "hand", lambda index: make_pair(tracker, config.seed, index, config.seconds, raw=config.raw))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    prog, text = (
        "python -m humanrt_export.data.poses.pairs_hand",
        "render moving hands, track them as live, and keep both",
    )
    make_pairs(parse(HandPairsConfig, words, prog=prog, text=text))
    return 0


if __name__ == "__main__":
    run_module(main)
