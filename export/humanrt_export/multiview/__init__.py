"""People seen from several places at once -> where they truly were: one body fitted to all views of each person.

`scene` reads cameras and what a landmark network sees in their pictures; `persons` says who is who across views;
`fitting` fits Anny to all views of one person; `acceptance` says whether that may stand for the truth; `dataset` writes
what ``humanrt evaluate`` reads.
"""
