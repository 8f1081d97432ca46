"""The admin page: what ``watch`` shows, as one page that renews itself and loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from server.federation.monitor import status_text
from server.federation.monitor.snapshot import RunView, SiteView, View
from server.federation.runs.run_folder import FAILED, FINISHED, LOST, RUNNING, STOPPED
from server.reporting import formatting, pages

STYLE = "".join((pages.TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "watch.css"))
SCRIPT = (pages.TEMPLATES / "watch.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The validation UAR by round, for a drawing of 100 by 100 units that is stretched to its place.

    Attributes:
        path: of the curve, as an SVG path; a round without a figure leaves a gap.
        last: where the newest point lies, as ``x y``.
        chance: how high guessing lies.
        rows: the rounds with their figures, for those who read rather than look.
    """

    path: str
    last: str
    chance: float
    rows: list[tuple[int, str]]


def render(view: View) -> str:
    """The page as HTML."""
    environment = pages.html(
        score=formatting.score,
        size=status_text.size,
        seconds=status_text.seconds,
        amount=status_text.amount,
        spent=status_text.spent,
        site_state=status_text.site_state,
    )
    return environment.get_template("watch.html.j2").render(_content(view))


def _content(view: View) -> dict[str, Any]:
    run = view.run
    return {
        "view": view,
        "run": run,
        "style": Markup(STYLE),  # noqa: S704 -- our own file
        "script": Markup(SCRIPT),  # noqa: S704 -- our own file
        "heading": _heading(view),
        "missing": [site.name for site in view.sites if not site.online and not site.revoked],
        "trouble": _trouble(run),
        "chart": chart(run) if run and run.best_uar is not None else None,
        "private": run is not None and run.unit is not None,
        "counted": status_text.counted(run).capitalize(),
        "seen": {site.name: _seen(site, view) for site in view.sites},
        "heard": formatting.ago(run.heard, view.time) if run and run.heard else None,
        "left": status_text.seconds(run.remaining.total_seconds()) if view.up and run and run.remaining else None,
    }


def _heading(view: View) -> str:
    run = view.run
    if run is None:
        return "No run yet"
    if run.state == RUNNING and not view.up:
        return f"{run.name} has no SuperLink: {run.place}"
    if run.state == FINISHED:
        return f"{run.name} is finished after {run.done} rounds"
    doing = {FAILED: "failed", STOPPED: "was stopped", LOST: "was lost"}.get(
        run.state, f"is {status_text.run_state(run)}"
    )
    return f"{run.name} {doing}: {run.place}"


def _trouble(run: RunView | None) -> str | None:
    """What a banner says of a run that did not end well."""
    if run is None or run.state not in (FAILED, STOPPED, LOST):
        return None
    return f"{run.why or run.state}. Go on with: fedser federation run --resume {run.name}"


def _seen(site: SiteView, view: View) -> str:
    return "now" if site.online else formatting.ago(site.last_seen, view.time)


def chart(run: RunView) -> Chart:
    """The curve of a run that has validation speakers."""
    span = max(run.rounds - 1, len(run.uars) - 1, 1)
    points = [(round(100 * i / span, 2), uar) for i, uar in enumerate(run.uars)]
    steps, drawing = [], False
    for x, uar in points:
        if uar is not None:
            steps.append(f"{'L' if drawing else 'M'}{x:g} {100 - 100 * uar:.2f}")
        drawing = uar is not None
    x, last = next((x, uar) for x, uar in reversed(points) if uar is not None)
    rows = [(number, formatting.score(uar)) for number, uar in enumerate(run.uars, 1)]
    return Chart(path="".join(steps), last=f"{x:g} {100 - 100 * last:.2f}", chance=100 - 100 / run.classes, rows=rows)
