"""Rendered clips of moving hands with exact ground truth: for the shipped demo, for benchmarks, for training data.

hand_model   the Anny arm and hand: joints with limits, skinning, keypoints
hand_motion  plausible motion of the joints: poses, pinches, minimum-jerk transitions
hand_scene   camera, light, room, and which hands move in it
render       the rasteriser (moderngl, EGL)
clips        ``render_clip(spec, seed)`` and the command line
"""
