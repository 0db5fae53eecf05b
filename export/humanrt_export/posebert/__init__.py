"""PoseBERT: a transformer over a window of per-frame poses, trained by masked modelling (Baradel et al., TPAMI 2022).

Written from the paper and from measurements of the published models; none of the authors' code is in here.
"""
