"""The settings that the trials ran with, from their lines: what all share, and what differs by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.reporting.formatting import NONE, flat
from server.reporting.pages import Table
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

LISTED = ("seed",)  # told by the sweep's lists
PRIVACY = "privacy."
FEW = 3  # values of a setting, of which all are shown


def in_common(benchmark: Benchmark) -> dict[str, Any]:
    """The sweep's lists, and the settings that are the same in every trial that uses them.

    ``benchmark.json`` has the settings before each condition completed them, so these are of the lines.
    """
    about = benchmark.about["settings"]
    lists = {key: value for key, value in about.items() if "." not in key}
    used = _used(benchmark)
    return lists | {key: found[0] for key, own in used.items() if len(found := _distinct(own)) == 1}


def by_condition(benchmark: Benchmark) -> Table:
    """The settings in which conditions differ; a dash for one of a mechanism that a condition has not."""
    used = _used(benchmark)
    rows = [
        [key, *(_told(own[index]) for index in range(len(benchmark.begun)))]
        for key, own in used.items()
        if len(_distinct(own)) > 1
    ]
    head = ["Setting", *(name(benchmark, series) for series in benchmark.begun)]
    return Table(caption="What differs by condition", head=head, rows=rows)


def optimizers(benchmark: Benchmark) -> dict[str, list[str]]:
    """The optimizer of the sites' training: its name, to the kinds of conditions that it trains."""
    found: dict[str, list[str]] = {}
    for series in benchmark.series:
        for optimizer in _values(series, "training.optimizer"):
            kinds = found.setdefault(str(optimizer), [])
            kind = series.unit or "no privacy"
            kind += f", {series.front}" if len(benchmark.fronts) > 1 else ""
            kinds += [kind] if kind not in kinds else []
    return found


def _used(benchmark: Benchmark) -> dict[str, list[list[Any]]]:
    """Each setting's values in each series that has begun."""
    keys = list(dict.fromkeys(key for row in benchmark.rows for key in row["config"] if key not in LISTED))
    return {key: [_values(series, key) for series in benchmark.begun] for key in keys}


def _values(series: Series, key: str) -> list[Any]:
    """Of a setting in a series' trials, none of them twice; nothing where there is no privacy that it is about."""
    if key.startswith(PRIVACY) and not series.unit:
        return []
    return _distinct([[row["config"].get(key) for row in series.rows]])


def _distinct(several: Sequence[Sequence[Any]]) -> list[Any]:
    found: list[Any] = []
    for value in (value for own in several for value in own):
        if value not in found:
            found.append(value)
    return found


def _told(values: Sequence[Any]) -> str:
    """A cell; of many values, as ``--tune`` chooses them, the ends."""
    if not values:
        return NONE
    if len(values) > FEW and all(isinstance(value, int | float) for value in values):
        return f"{min(values):.4g} to {max(values):.4g}"
    return ", ".join(flat({"": value})[""] for value in values)
