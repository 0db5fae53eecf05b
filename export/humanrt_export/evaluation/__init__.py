"""PoseBERT against One-Euro on clips of known truth: error and jitter at equal lag, gaps, prediction.

What is compared is what a user would get live: every method sees the frames of a clip one by one, with their stamps.
At a lag of L frames (of 1/30 s) the answer given at time t is compared with the truth at t - L/30.

- Error: mean distance of keypoints, mm, about the mean of the points and at the truth's size (one factor a clip), since
  no front-end of one camera knows the size.
- Error of change: mean length of the difference between the answers' and the truth's motion from frame to frame, mm a
  frame. A front-end's constant error is not in it; both jitter and delay are.
- Jitter: mean length of the second and third difference of the answers, mm a frame^2 and a frame^3, by the real time
  between them and as of frames 1/30 s apart. The truth's own is in the tables: less than that is slower, not better.

One-Euro is given every chance. Both its parameters are searched on the training clips, for each lag anew, by the error
at that lag, and its answers may also be held back by some of the allowed lag. And it is searched on the very clips that
it is measured on (`oracle`), by error, and by error among the settings with no more jitter than PoseBERT.
"""
