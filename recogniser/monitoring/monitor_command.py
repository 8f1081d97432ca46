"""``fedser monitor``: how a service's model does day by day, and what broke."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import options
from common.escaping import as_json, one_line

if TYPE_CHECKING:
    from recogniser.monitoring.daily_figures import Day
    from recogniser.monitoring.proportions import Count

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What fedser serve --monitor DIR wrote.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels", metavar="CSV", help="What segments were in truth: id,emotion; some of them do.", show_default=False
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="YYYY-MM-DD", help="Leave out the days before.", show_default=False),
]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: fedser monitor scores/ --labels checked.csv")(monitor)


def monitor(
    folder: Folder, labels: Labels = None, since: Since = None, json_output: options.JsonOutput = False
) -> None:
    """Say by day how often the model was right, what it said and how sure, and whether something broke (exit code 1).

    Without labels: what it said, how sure it was, and how far the sound drifted from what it was trained with.
    """
    from recogniser.monitoring.alarms import alarms
    from recogniser.monitoring.daily_figures import by_day
    from recogniser.monitoring.label_table import read_labels
    from recogniser.monitoring.segment_log import read_logs

    logs = read_logs(folder, _date(since))
    truth = read_labels(labels, logs.classes) if labels else {}
    days = by_day(logs.segments, truth, logs.classes)
    found = alarms(days, logs.classes, logs.held_out)
    if strange := len(truth.keys() - {own.id for own in logs.segments}):
        typer.echo(f"fedser: {strange} of {len(truth)} labels are of no segment here", err=True)
    if truth and not logs.held_out:
        typer.echo("fedser: of this model no test speakers' figures are known: only changes are alarms", err=True)
    if logs.broken:
        typer.echo(f"fedser: {logs.broken} lines cannot be read, and are left out", err=True)
    if json_output:
        told = {"classes": logs.classes, "days": [day.as_dict() for day in days], "broken_lines": logs.broken}
        typer.echo(as_json({**told, "alarms": [alarm.as_dict() for alarm in found]}, indent=2))
    else:
        for line in _table(days, logs.classes):
            typer.echo(line)
        for alarm in found:
            typer.echo(one_line(alarm.line))
    if found:
        raise typer.Exit(1)


def _date(text: str | None) -> date | None:
    from common.errors import UsageError

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"--since {text}: expected a day as 2026-01-31") from None


def _table(days: list[Day], classes: list[str]) -> list[str]:
    """A line a day; of each class its recall where there are labels, else its share."""
    labelled = any(day.accuracy.of for day in days)
    names = [one_line(name) for name in classes]
    width = max([17, *map(len, names)])
    of = "recall" if labelled else "share"
    head = ["day       ", "segments", *(["accuracy".ljust(17)] if labelled else []), "sure", "drift"]
    lines = ["  ".join([*head, *(name.ljust(width) for name in names)]).rstrip() + f"  ({of} of each)"]
    for day in days:
        counts = [day.recall[name] if labelled else day.share[name] for name in classes]
        drift = "    -" if day.drift is None else f"{day.drift.value:5.2f}"
        cells = [str(day.day), f"{day.segments:8}", *([_cell(day.accuracy)] if labelled else [])]
        cells += [f"{day.confidence.value:.2f}", drift, *(_cell(count).ljust(width) for count in counts)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _cell(count: Count) -> str:
    from recogniser.monitoring.proportions import wilson

    if count.share is None:
        return "-".ljust(17)
    low, high = wilson(count)
    return f"{count.share:.2f} [{low:.2f}, {high:.2f}]"
