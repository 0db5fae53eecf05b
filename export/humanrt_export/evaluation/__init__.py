"""PoseBERT against One-Euro on clips with ground truth: error and jitter at equal lag, gaps, prediction.

The comparison is of live output: every method sees the frames of a clip one by one, with their time stamps.
At a lag of L frames (of 1/30 s) the output at time t is compared with the ground truth at t - L/30.

- Error: mean distance of keypoints, mm, relative to the mean of the points and scaled to the ground truth's size
  (one factor per clip), since no single-camera front-end knows the size.
- Error of change: mean length of the difference between the output's and the ground truth's frame-to-frame motion, mm
  per frame. It excludes a front-end's constant error and includes both jitter and delay.
- Jitter: mean length of the second and third differences of the output, in mm per frame^2 and frame^3, computed with
  the real time steps and expressed for frames 1/30 s apart. The tables show the ground truth's own jitter: a lower
  value means lag, not higher quality.

One-Euro gets the best possible settings. Both its parameters are searched on the training clips, separately for each
lag, by the error at that lag, and its output may also be delayed by part of the allowed lag. It is also searched on the
evaluation clips themselves (`oracle`), by error, and by error among the settings with no more jitter than PoseBERT.
"""
