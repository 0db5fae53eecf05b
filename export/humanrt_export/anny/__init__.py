"""Multi-HMR on Anny, the free body model: its body, network, checkpoints, and their way into a bundle.

Start at `export`. Anny (Bregier et al., NAVER LABS Europe, 2025; code Apache-2.0, data CC0) is a dependency of
`model` only, which precomputes what the rest needs. Nothing here comes from the code or weights of Multi-HMR.
"""
