"""A hand in MuJoCo, leap_right or the one named, follows a human's, grasps a cube and holds it for 2 s."""

import sys

import mujoco
import numpy as np

import humanrt
from humanrt.data import CLIP
from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.retarget.mjcf import hand_mjcf

ROBOT, HALF = [*sys.argv[1:], "leap_right"][0], 0.012  # also allegro_right, shadow_right; m, of the cube's thickness
commands = humanrt.RobotCommands(ROBOT)
with humanrt.track(sys.argv[2] if len(sys.argv) > 2 else CLIP, robots=ROBOT, max_frames=112) as results:
    path = [commands(result)[ROBOT]["angles"] for result in results]
hand = humanrt.Retargeter(ROBOT).hand
tips = np.array([hand.positions(q, [hand.fingers[name][3] for name in ("thumb", "index")]) for q in path])
gap = np.linalg.norm(tips[:, 0] - tips[:, 1], axis=1)
pinch = int((gap < 0.005).argmax())
touch = next(k for k in range(pinch, 0, -1) if gap[k] > 2 * HALF + 1.7 * hand.radius) + 1
axis = (tips[touch, 1] - tips[touch, 0]) / gap[touch]
side = np.cross(axis, [0.3, 0.5, 0.8]) / np.linalg.norm(np.cross(axis, [0.3, 0.5, 0.8]))
turn = np.roll(quaternions_from_matrices(np.stack([axis, np.cross(side, axis), side], 1)), 1)  # w first
place = (tips[touch].mean(0) + 2 * tips[pinch].mean(0)) / 3
spec = mujoco.MjSpec.from_string(hand_mjcf(hand))
cube = spec.worldbody.add_body(name="cube", pos=place, quat=turn)
cube.add_freejoint(name="free")
cube.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[HALF, 0.02, 0.02], density=300, contype=2, conaffinity=3, condim=4)
spec.option.impratio, spec.option.cone = 10, mujoco.mjtCone.mjCONE_ELLIPTIC
model = spec.compile()
data = mujoco.MjData(model)
for frame in range(touch - 15, pinch + 67):
    data.ctrl[:] = path[min(frame, pinch + 7)]
    for _ in range(17):  # 2 ms each
        mujoco.mj_step(model, data)
        if frame < pinch + 7:  # until then something else holds the cube
            data.joint("free").qpos[:], data.joint("free").qvel[:] = [*place, *turn], 0
print(f"after 2 s the cube is {1e3 * np.linalg.norm(data.body('cube').xpos - place):.0f} mm from where it was grasped")
