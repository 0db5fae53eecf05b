"""The tables of a comparison, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["markdown"]


def markdown(report: Mapping[str, Any]) -> str:
    """Format the report's tables as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    clips = report["clips"]
    seen = f"{clips['val']} clips, {clips['frames']} frames with an observation"
    yield f"{seen}; One-Euro tuned on {clips['train']} others."
    yield ""
    yield "| lag | method | error mm | change mm/frame | accel. mm/frame^2 | jerk mm/frame^3 | setting |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    titles = {
        "raw": "raw",
        "oneeuro": "One-Euro, tuned",
        "oneeuro_oracle": "One-Euro, tuned on these very clips",
        "oneeuro_as_calm": "One-Euro, as calm as PoseBERT (on these very clips)",
        "posebert": "**PoseBERT**",
        "truth": "truth",
    }
    for lag, entry in report["lags"].items():
        for name, title in titles.items():
            if (row := entry["methods"].get(name)) is not None:
                extra = row.get("setting", f"{row['degrees']:.2f} degrees" if "degrees" in row else "")
                yield f"| {lag} | {title} | {_numbers(row)} | {extra} |"
    for lag, entry in report["lags"].items():
        yield ""
        yield f"By speed of the fingers, lag {lag} (rest below 0.02, slow below 0.15 m/s):"
        yield ""
        yield "| speed | method | error mm | change | accel. | jerk | frames |"
        yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
        for speed, table in entry["by_speed"].items():
            for name in ("raw", "oneeuro", "posebert", "truth"):
                if name in table:
                    yield f"| {speed} | {titles[name]} | {_numbers(table[name])} | {table[name]['frames']} |"
    gaps = report["gaps"]
    yield ""
    yield f"{100 * gaps['missing']:.0f} % of the frames missing in bursts of up to 10: error on these, mm."
    yield ""
    spans = list(gaps["by_age"])
    yield "| method | all | " + " | ".join(spans) + " |"
    yield "| --- |" + " ---: |" * (1 + len(spans))
    for name, row in gaps["methods"].items():
        parts = " | ".join(f"{gaps['by_age'][span][name]['error']:.2f}" for span in spans)
        yield f"| {name} | {row['error']:.2f} | {parts} |"
    yield ""
    yield "Prediction: error mm (acceleration)."
    yield ""
    ahead = list(report["prediction"])
    yield "| method | " + " | ".join(f"{1e3 * float(a):.0f} ms" for a in ahead) + " |"
    yield "| --- |" + " ---: |" * len(ahead)
    for name in next(iter(report["prediction"].values())):
        rows = [report["prediction"][a][name] for a in ahead]
        yield f"| {name} | " + " | ".join(f"{r['error']:.2f} ({r['acceleration']:.2f})" for r in rows) + " |"


def _numbers(row: Mapping[str, Any]) -> str:
    return f"{row['error']:.2f} | {row['change']:.2f} | {row['acceleration']:.2f} | {row['jerk']:.2f}"
