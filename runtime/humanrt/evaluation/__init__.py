"""Score any people bundle on data with truth: what ``humanrt evaluate`` runs.

`dataset`: what a reader gives. `formats`: the readers, one file each. `correspondence`: which joints are compared.
`scoring`: one clip to arrays. `running`: all clips of all bundles, resumable. `summary`: means, strata, confidence
intervals, paired differences. `report`: JSON and Markdown. `worst`: pictures of the largest errors.
"""
