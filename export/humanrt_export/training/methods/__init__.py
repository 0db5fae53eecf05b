"""Training methods that plug into `humanrt_export.training.loop`: each is a task, or wraps one; each names its paper.

pixels        between what networks see and pictures in 0..1
wrapped       a task around a task
crossview     masked completion from a second view (CroCo); masks in `masking`, pairs of pictures in `pairs`
adversarial   FGSM, RS-FGSM, N-FGSM and PGD inputs; attacks to measure with
meta_dr       domain after domain by randomisation and meta-learning; pictures' changes in `manipulations`
continual     training domain after domain without replay, and what is forgotten
batch_norm    which parts of a network are trained: all, batch norm only
pose_crop     a small task that all of them can be tried on: Anny's pose from a picture of one person
"""
