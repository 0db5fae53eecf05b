"""Clips of moving hands with exact ground truth, and the command line that writes them.

::

    python -m humanrt_export.synthetic.clips --kind demo --seed 11 --out DIR [--size 640x480] [--seconds 4]

Kinds:
    demo       one right hand: fingers close one by one, fist, pinches, pointing, turning; ends in the initial pose
    two_hands  a left and a right hand that move at random, apart from each other
    crossing   a left and a right hand that swap sides, the right one in front
    turning    a right hand whose palm turns away and back
    lost       a right hand that leaves the picture for a while and comes back
    random     one hand of a random person and side, moving at random
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import MissingDependencyError, OutputError
from humanrt.geometry.camera import project
from humanrt.hands.truth import Truth, finger_flexion
from humanrt_export.entry import run_module
from humanrt_export.synthetic import hand_motion as motion
from humanrt_export.synthetic.hand_model import JOINTS, Arm, load_arm, pose
from humanrt_export.synthetic.hand_motion import Drift, Keyframe, Motion
from humanrt_export.synthetic.hand_scene import Camera, Look, room
from humanrt_export.synthetic.render import Renderer
from humanrt_export.synthetic.sensor import Sensor, shutter

__all__ = ["KINDS", "ClipSpec", "Hand", "plan", "render_clip", "truth_of", "write_clip"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClipSpec:
    """Specification of a clip.

    Attributes:
        kind: one of `KINDS`.
        size: (W, H) px.
        fps: frames per second.
        seconds: length; None for the kind's own.
        exposure: fraction of the frame time during which the shutter is open (motion blur).
        subframes: number of instants averaged over the exposure.
        noise: standard deviation of the sensor noise, as a fraction of full scale (sRGB).
    """

    kind: str = "demo"
    size: tuple[int, int] = (640, 480)
    fps: float = 30.0
    seconds: float | None = None
    exposure: float = 0.3
    subframes: int = 3
    noise: float = 0.006


@dataclass(frozen=True)
class Hand:
    """One hand of a clip: its arm model and its motion."""

    arm: Arm
    motion: Motion


class _Script:
    """Keyframes added one after another: move for some time, then hold for some time."""

    def __init__(self, q: Array, hold: float) -> None:
        self.frames = [Keyframe(0.0, motion.clip(q), 0.1)]
        self.t = hold

    def to(self, q: Array, move: float, hold: float = 0.0) -> _Script:
        self.frames.append(Keyframe(self.t + move, motion.clip(q), move))
        self.t += move + hold
        return self

    def motion(self, drift: Drift, lag: Array) -> Motion:
        return Motion(tuple(self.frames), drift, lag)


def _demo(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    arm = load_arm("right")

    def at(q: Array, **more: float) -> Array:
        return pose(q, ({"x": -0.01, "y": 0.076, "z": 0.42, "roll": 2, "yaw": -6, "pitch": -4} | more))

    rest = motion.open_hand(0.9)
    script = _Script(at(rest), 0.3)
    closing = rest
    for finger in ("pinky", "ring", "middle", "index"):
        closing = motion.curl(closing, finger, 0.92)
        script.to(at(closing), 0.34)
    script.to(at(motion.fist(arm)), 0.34, 0.3)
    script.to(at(rest), 0.45, 0.2)
    for finger, turned in (("index", -32), ("middle", -34), ("ring", -36)):
        script.to(at(motion.pinch(arm, finger, others=0.08), yaw=turned), 0.42, 0.24)
        script.to(at(motion.open_hand(0.5), yaw=-20), 0.3)
    script.to(at(motion.pointing(arm), yaw=-16, roll=-4), 0.4, 0.4)
    script.to(at(rest), 0.45, 0.1)
    script.to(at(motion.open_hand(0.6), supination=76, yaw=-98), 0.85, 0.3)
    script.to(at(rest, supination=5), 0.85)
    script.to(at(rest, roll=16, wrist_deviation=10), 0.35)
    script.to(at(rest, roll=-14, wrist_deviation=-14), 0.42)
    script.to(at(rest), 0.45, 0.2)
    length = script.t if seconds is None else seconds
    return length, [Hand(arm, script.motion(Drift.sample(generator, period=length), motion.sample_lag(generator)))]


def _two_hands(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    length = 4.0 if seconds is None else seconds
    hands = []
    for side, x in (("left", 0.15), ("right", -0.15)):
        arm = load_arm("left" if side == "left" else "right", tuple(generator.normal(0, 0.6, 4)))
        mean = np.array([x, 0.09, 0.55, 0, 0, 0])
        hands.append(Hand(arm, motion.random_motion(arm, generator, seconds=length, mean=mean, turn=15.0)))
    return length, hands


def _crossing(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    length = 3.4 if seconds is None else seconds
    hands = []
    # The left hand of a person facing the camera is on the right of the picture.
    for side, x, z, y in (("left", 0.145, 0.64, 0.075), ("right", -0.125, 0.50, 0.11)):
        arm = load_arm("left" if side == "left" else "right")
        q = pose(motion.open_hand(0.8), x=x, y=y, z=z, yaw=-8)
        across = pose(motion.open_hand(0.3), x=-x, y=y, z=z, yaw=-8)
        script = _Script(q, 0.12 * length).to(across, 0.32 * length, 0.1 * length).to(q, 0.34 * length)
        hands.append(Hand(arm, script.motion(Drift.sample(generator, period=length), np.zeros(len(JOINTS)))))
    return length, hands


def _turning(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    length = 3.4 if seconds is None else seconds
    arm = load_arm("right")
    base = {"x": 0.0, "y": 0.09, "z": 0.46}
    palm = pose(motion.open_hand(0.8), base)
    back = pose(motion.open_hand(0.5), base, supination=80, yaw=-95)
    script = _Script(palm, 0.08 * length).to(back, 0.36 * length, 0.1 * length).to(palm, 0.36 * length)
    return length, [Hand(arm, script.motion(Drift.sample(generator, period=length), np.zeros(len(JOINTS))))]


def _lost(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    length = 3.4 if seconds is None else seconds
    arm = load_arm("right")
    here = pose(motion.open_hand(0.8), x=0.02, y=0.09, z=0.46)
    away = pose(motion.open_hand(0.4), x=-0.62, y=0.16, z=0.46, roll=-20)
    script = _Script(here, 0.18 * length).to(away, 0.2 * length, 0.16 * length).to(here, 0.22 * length)
    return length, [Hand(arm, script.motion(Drift.sample(generator, period=length), np.zeros(len(JOINTS))))]


def _random(generator: np.random.Generator, seconds: float | None) -> tuple[float, list[Hand]]:
    length = 4.0 if seconds is None else seconds
    arm = load_arm("left" if generator.uniform() < 0.5 else "right", tuple(generator.normal(0, 0.8, 6)))
    mean = np.array([0.0, 0.09, 0.5, 0.0, 0.0, 0.0])
    return length, [Hand(arm, motion.random_motion(arm, generator, seconds=length, mean=mean))]


KINDS: dict[str, Callable[[np.random.Generator, float | None], tuple[float, list[Hand]]]] = {
    "demo": _demo,
    "two_hands": _two_hands,
    "crossing": _crossing,
    "turning": _turning,
    "lost": _lost,
    "random": _random,
}


def plan(spec: ClipSpec, seed: int) -> tuple[Array, list[Hand]]:
    """Plan frame times [T] s and the moving hands of a clip, without rendering."""
    length, hands = KINDS[spec.kind](np.random.default_rng([seed, 0]), spec.seconds)
    return np.arange(round(length * spec.fps)) / spec.fps, hands


def truth_of(camera: Camera, t: Array, fps: float, hands: Sequence[Hand], source: str = "") -> Truth:
    """Return the ground truth at times ``t`` [T] s of ``hands`` seen by ``camera``."""
    # Rounded before anything is derived from them, so that the stored values are exactly consistent.
    keypoints = np.stack([hand.arm.keypoints(hand.motion.at(t)) for hand in hands], axis=1).astype(np.float32)
    pixels = project(keypoints, camera.intrinsics).astype(np.float32)
    inside = np.all((pixels >= 0) & (pixels < np.array(camera.size)), axis=-1)
    return Truth(
        t=t,
        fps=fps,
        size=camera.size,
        side=tuple(hand.arm.side for hand in hands),
        intrinsics=camera.intrinsics,
        keypoints_2d=pixels,
        keypoints_3d=keypoints,
        visible=np.asarray(inside),
        flexion=finger_flexion(keypoints).astype(np.float32),
        source=source,
    )


def render_clip(spec: ClipSpec, seed: int) -> tuple[Iterator[NDArray[np.uint8]], Truth]:
    """Render a clip.

    Args:
        spec: specification of the clip.
        seed: determines everything random (person, motion, light, room, noise).

    Returns:
        The frames, uint8 [H, W, 3] RGB, rendered lazily; and the ground truth of all of them.
    """
    t, hands = plan(spec, seed)
    camera = Camera(spec.size)
    width, height = spec.size
    source = (
        f"humanrt_export.synthetic.clips --kind {spec.kind} --seed {seed} --size {width}x{height} --fps {spec.fps:g}"
    )
    return _frames(spec, seed, camera, t, hands), truth_of(camera, t, spec.fps, hands, source)


def _frames(spec: ClipSpec, seed: int, camera: Camera, t: Array, hands: Sequence[Hand]) -> Iterator[NDArray[np.uint8]]:
    generator = np.random.default_rng([seed, 1])
    look = Look.sample(generator)
    background = room(spec.size, generator, bright_side=float(np.sign(look.key[0])))
    sensor = Sensor(spec.size, spec.noise, generator)
    opened = shutter(spec.subframes)
    with Renderer(camera) as renderer:
        for instant in t:
            times = instant + opened * spec.exposure / spec.fps
            poses = [hand.motion.at(times) for hand in hands]
            layers = [
                renderer.draw([(hand.arm, q[k]) for hand, q in zip(hands, poses, strict=True)], look, seed=seed % 97)
                for k in range(spec.subframes)
            ]
            layer = np.mean(layers, axis=0)
            yield sensor.develop(layer[..., :3] + background * (1 - layer[..., 3:]))


def encode(path: Path, frames: Iterator[NDArray[np.uint8]], size: tuple[int, int], fps: float, quality: int) -> int:
    """Write H.264 in MP4 (yuv420p) with the ffmpeg of the package ``imageio-ffmpeg``; return the number of frames."""
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingDependencyError(
            "writing clips needs imageio-ffmpeg; install it with: pip install imageio-ffmpeg"
        ) from None
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error"]
    command += [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{size[0]}x{size[1]}",
        "-r",
        f"{fps:g}",
        "-i",
        "-",
    ]
    # Players and OpenCV assume BT.601 for small pictures; declare it nevertheless.
    command += ["-vf", "scale=out_color_matrix=bt601:out_range=tv"]
    command += ["-colorspace", "smpte170m", "-color_range", "tv"]
    command += ["-c:v", "libx264", "-preset", "slow", "-crf", str(quality), "-pix_fmt", "yuv420p"]
    command += ["-threads", "1", "-bf", "2", "-g", f"{2 * fps:.0f}", "-movflags", "+faststart", str(path)]
    count = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(frame).tobytes())
                count += 1
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg ended early: its own message is reported below
        message = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        reason = message.splitlines()[-1] if message else "no reason given"
        raise OutputError(f"{path}: ffmpeg could not write it: {reason}")
    return count


def write_clip(spec: ClipSpec, seed: int, path: Path, quality: int = 23) -> Truth:
    """Render to ``path`` (.mp4), with the ground truth beside it (.npz, same stem)."""
    frames, truth = render_clip(spec, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(path, frames, spec.size, spec.fps, quality)
    truth.save(path.with_suffix(".npz"))
    return truth


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m humanrt_export.synthetic.clips", description="render moving hands with exact ground truth"
    )
    parser.add_argument("--kind", choices=sorted(KINDS), default="demo")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, required=True, help="folder; gets KIND.mp4 and KIND.npz")
    parser.add_argument("--name", help="file name without suffix (default: the kind)")
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT in px, even numbers")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seconds", type=float)
    parser.add_argument(
        "--quality", type=int, default=23, help="x264 CRF: lower means better quality and a larger file"
    )
    options = parser.parse_args(arguments)
    width, height = (int(n) for n in options.size.split("x"))
    spec = ClipSpec(options.kind, (width, height), options.fps, options.seconds)
    path = options.out / f"{options.name or options.kind}.mp4"
    truth = write_clip(spec, options.seed, path, options.quality)
    sys.stdout.write(f"{path}: {len(truth)} frames, {path.stat().st_size // 1024} KB\n")
    return 0


if __name__ == "__main__":
    run_module(main)
