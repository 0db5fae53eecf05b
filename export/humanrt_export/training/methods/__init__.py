"""Training methods that plug into `humanrt_export.training.loop`: each wraps a task; each names its paper.

compose       the list of the command line's methods
method        options of a method
wrapped       a task around a task
adversarial   FGSM, RS-FGSM, N-FGSM and PGD inputs; attacks to measure with
meta_dr       domain after domain by randomisation and meta-learning; pictures' changes in `manipulations`
continual     training domain after domain without replay, and what is forgotten
batch_norm    which parts of a network are trained: all, batch norm only
pixels        between what networks see and pictures in 0..1
"""
