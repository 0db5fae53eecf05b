"""Metrics of people as the literature defines them, on plain arrays: numpy only, no model, no file.

`joints` (MPJPE, PA, PVE, PCK, AUC), `matching` (who is who), `detection` (precision, recall, F1, NMVE and NMJE),
`trajectory` (W- and WA-MPJPE, RTE, acceleration, jitter), `silhouette` (IoU). Lengths are metres unless a name says
otherwise.
"""
