"""What an attack found: as JSON in the run's folder, and as a table with a sentence that says what it means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.storage import atomic
from server.reporting.formatting import NONE, score
from simulations.audits.attacks.intervals import Interval
from simulations.audits.audited_run import AuditedRun


@dataclass(frozen=True, kw_only=True)
class AttackFigure:
    """A figure that an attack reports: a line of its table.

    Attributes:
        name: what was measured.
        value: None where there were too few to tell.
        ci95: its 95 % interval; None where there is none.
        nothing: what an attack gets that learns nothing.
    """

    name: str
    value: float | None
    ci95: Interval | None
    nothing: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an attack found.

    Attributes:
        attack: its name.
        run: that was attacked.
        details: JSON-ready, all there is to know.
        figures: those of the table.
        meaning: what they mean, a sentence each.
        refuted: None, or why the run's claim of privacy can't be true.
        beside: what the table calls the column of what stands beside each figure.
    """

    attack: str
    run: AuditedRun
    details: dict[str, Any]
    figures: Sequence[AttackFigure]
    meaning: Sequence[str]
    refuted: str | None = None
    beside: str = "if nothing leaks"

    def json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        about = {"attack": self.attack, "run": str(self.run.path), "fold": self.run.plan.fold}
        return {**about, "privacy": self.run.privacy, **self.details, "meaning": " ".join(self.meaning)}

    def write(self) -> Path:
        """Write it as ``RUN/audit/<attack>.json``, in place of an earlier one."""
        path = self.run.path / "audit" / f"{self.attack}.json"
        atomic.write(path, json.dumps(self.json(), indent=1, allow_nan=False))
        return path

    def table(self) -> RenderableType:
        """For the terminal."""
        table = Table(box=None, header_style="italic", padding=(0, 2, 0, 0))
        for title in ("", "found", "95 % interval", self.beside):
            table.add_column(title, justify="right" if title else "left")
        for figure in self.figures:
            table.add_row(figure.name, score(figure.value), _interval(figure.ci95), figure.nothing)
        title = f"{self.attack}: {self.run.path}, fold {self.run.plan.fold}, {_claim(self.run)}"
        return Group(Text(title, style="bold"), table, *map(Text, self.meaning))


def leaks(ci95: Interval | None, chance: float) -> bool | None:
    """Whether a figure lies above chance for certain; None where there are too few to tell."""
    return None if ci95 is None else ci95[0] > chance


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return NONE
    return f"{score(interval[0])} to {'∞' if interval[1] == float('inf') else score(interval[1])}"


def _claim(run: AuditedRun) -> str:
    claim = run.privacy
    if claim is None:
        return "without privacy"
    epsilon = "an ε that is not known yet" if claim["epsilon"] is None else f"ε = {claim['epsilon']:.3g}"
    seed = ", INSECURE SEED" if claim["insecure_seed"] else ""
    return f"{epsilon} at δ = {claim['delta']:g} for each {claim['unit']}{seed}"
