"""The last day's figures as Prometheus reads them, for a service's ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recogniser.monitoring.alarms import Alarm, alarms
from recogniser.monitoring.daily_figures import Day, by_day
from recogniser.monitoring.proportions import Count
from recogniser.monitoring.segment_log import read_logs

PREFIX = "fedser_recogniser_monitor"


def gauges(days: Sequence[Day], found: Sequence[Alarm]) -> str:
    """Prometheus's text format (0.0.4); of no days only how many alarms there are."""
    lines = [*_gauge("alarms", "what broke", [("", len(found))])]
    if days:
        last = days[-1]
        lines += _gauge("segments", "heard on the last day", [("", last.segments)])
        lines += _gauge("accuracy", "of the last day's labelled segments", _shares({"": last.accuracy}))
        lines += _gauge("recall", "of the last day's labelled segments", _shares(last.recall))
        lines += _gauge("share", "of the last day's segments that were said to be of a class", _shares(last.share))
        lines += _gauge("confidence", "mean of the last day", [("", last.confidence.value)])
        drift = [("", last.drift.value)] if last.drift else []
        lines += _gauge("drift", "mean distance from the training scaling on the last day", drift)
    return "".join(f"{line}\n" for line in lines)


def last_day(folder: Path) -> str:
    """The gauges of the scores in a folder; it reads all of them."""
    logs = read_logs(folder)
    days = by_day(logs.segments, {}, logs.classes)
    return gauges(days, alarms(days, logs.classes, logs.held_out))


def _shares(counts: dict[str, Count]) -> list[tuple[str, float]]:
    return [(name, count.share) for name, count in counts.items() if count.share is not None]


def _gauge(name: str, about: str, values: Sequence[tuple[str, float]]) -> Iterator[str]:
    if not values:
        return
    yield f"# HELP {PREFIX}_{name} {about}"
    yield f"# TYPE {PREFIX}_{name} gauge"
    for key, value in values:
        label = f'{{class="{_escaped(key)}"}}' if key else ""
        yield f"{PREFIX}_{name}{label} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
