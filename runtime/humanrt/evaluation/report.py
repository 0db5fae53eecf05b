"""The report of an evaluation: JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.running import Run, RunOptions
from humanrt.evaluation.summary import UNITS, compared, summarised
from humanrt.stats import machine

__all__ = ["as_markdown", "report_of"]

_TITLES = {
    "recall": ("recall", "{:.2f}"),
    "precision": ("precision", "{:.2f}"),
    "further_finds_per_frame": ("further finds a frame", "{:.2f}"),
    "mpjpe": ("MPJPE", "{:.1f}"),
    "pa_mpjpe": ("PA", "{:.1f}"),
    "pve": ("PVE", "{:.1f}"),
    "pa_pve": ("PA-PVE", "{:.1f}"),
    "place": ("in place", "{:.0f}"),
    "depth": ("depth", "{:.1f}"),
    "hands": ("hands", "{:.1f}"),
    "pa_hands": ("PA hands", "{:.1f}"),
    "nmje": ("NMJE", "{:.1f}"),
    "nmve": ("NMVE", "{:.1f}"),
    "pck_150": ("PCK 150", "{:.2f}"),
    "auc_200": ("AUC", "{:.2f}"),
    "w_mpjpe": ("W", "{:.0f}"),
    "wa_mpjpe": ("WA", "{:.0f}"),
    "rte": ("RTE", "{:.1f}"),
    "acceleration_error": ("acceleration error", "{:.1f}"),
    "jitter": ("jitter", "{:.1f}"),
    "iou": ("IoU", "{:.2f}"),
}
"""Columns of the table, where any bundle has a value."""
_PAIRED = ("recall", "mpjpe", "pa_mpjpe", "pve", "place", "hands", "acceleration_error", "iou")
_STRATA = ("recall", "mpjpe", "pa_mpjpe", "place")


def report_of(runs: Sequence[Run], data: DataSet, folder: str, options: RunOptions) -> dict[str, Any]:
    """Return everything that was measured.

    The first bundle's figures are at the top too, so that a run of one bundle is read without looking for it.
    """
    published = options.matcher == "published"
    bundles = {run.name: summarised(run, everybody=data.everybody, published=published) for run in runs}
    return {
        "format": data.name,
        "data": folder,
        "truth": data.about,
        "matcher": options.matcher,
        "min_overlap": options.min_overlap,
        "compared": {run.name: run.joints.about for run in runs},
        "root": {run.name: run.joints.root_name for run in runs},
        "made_by": {run.name: dict(run.bundles) for run in runs},
        "units": dict(UNITS),
        **{name: value for name, value in bundles[runs[0].name].items() if not isinstance(value, Mapping)},
        "bundles": bundles,
        "paired": compared(runs),
        "machine": machine(),
    }


def as_markdown(report: Mapping[str, Any]) -> str:
    """Return the tables of a report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    bundles: Mapping[str, Mapping[str, Any]] = report["bundles"]
    first = next(iter(bundles.values()))
    joints = " / ".join(dict.fromkeys(report["compared"].values()))
    roots = " / ".join(dict.fromkeys(report["root"].values()))
    yield (
        f"`{report['format']}`: {first['people']} people in {first['frames']} pictures ({report['truth']}). Compared: "
        f"{joints}; root: {roots}; matcher: {report['matcher']}, IoU at least {report['min_overlap']:g}."
    )
    yield ""
    known = {name for one in bundles.values() for name, value in one.items() if value is not None}
    shown = {name: title for name, title in _TITLES.items() if name in known}
    yield from _table(
        ["", *(_head(name, title) for name, (title, _) in shown.items())],
        [[name, *(_cell(one.get(key), form) for key, (_, form) in shown.items())] for name, one in bundles.items()],
    )
    yield ""
    keys = [key for key in _PAIRED if any(one.get(key) is not None for one in bundles.values())]
    if any(one["interval"] for one in bundles.values()):
        yield "95 % intervals, over pictures or seconds of film:"
        yield ""
        yield from _table(
            ["", *(_head(key, _TITLES[key][0]) for key in keys)],
            [[name, *(_interval(one["interval"].get(key), key) for key in keys)] for name, one in bundles.items()],
        )
    else:
        yield "No 95 % intervals: they are over pictures or seconds of film, and there is only one."
    if report["paired"]:
        yield ""
        yield "Differences on the people whom both find (of recall: on all), second less first:"
        yield ""
        rows = []
        for pair in report["paired"]:
            cells = [" to ".join(pair["bundles"]), str(pair["people"])]
            rows.append([*cells, *(_difference(pair.get(key), key) for key in keys)])
        yield from _table(["", "people", *(_head(key, _TITLES[key][0]) for key in keys)], rows)
    yield ""
    yield "By how people are seen: " + ", ".join(_head(key, _TITLES[key][0]) for key in _STRATA) + "."
    yield ""
    strata = list(dict.fromkeys(name for one in bundles.values() for name in one["strata"]))
    rows = []
    for stratum in strata:
        count = next(one["strata"][stratum]["people"] for one in bundles.values() if stratum in one["strata"])
        cells = []
        for one in bundles.values():
            part = one["strata"].get(stratum, {})
            cells.append(", ".join(_cell(part.get(key), _TITLES[key][1]) or "-" for key in _STRATA))
        rows.append([stratum, str(count), *cells])
    yield from _table(["", "people", *bundles], rows)
    yield from _made_by(report["made_by"])


def _made_by(runs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the bundles of all runs together; run by run where one name stands for two versions."""
    used = {pair for one in runs.values() for pair in one.items()}
    if not used:
        return
    if len(dict(used)) == len(used):
        yield ""
        yield f"Bundles, by the beginning of the SHA-256 of their manifests: {_named(used)}."
        return
    yield ""
    yield "Bundles of each row, by the beginning of the SHA-256 of their manifests (of one name there are two):"
    yield ""
    for run, one in runs.items():
        yield f"- {run}: {_named(one.items())}"


def _named(bundles: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"`{name}` {sha256[:8]}" for name, sha256 in sorted(bundles))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _head(name: str, title: str) -> str:
    unit = UNITS.get(name)
    return f"{title} {unit}" if unit else title


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _interval(bounds: Sequence[float] | None, key: str) -> str:
    form = _TITLES[key][1]
    return "" if bounds is None else f"{form.format(bounds[0])} to {form.format(bounds[1])}"


def _difference(entry: Mapping[str, Any] | None, key: str) -> str:
    if entry is None:
        return ""
    form = _TITLES[key][1].replace("{:", "{:+")
    difference = form.format(entry["difference"])
    if entry["interval"] is None:
        return difference
    return f"{difference} ({', '.join(form.format(one) for one in entry['interval'])})"
