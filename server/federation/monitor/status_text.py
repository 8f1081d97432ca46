"""Times, sizes and states in the words that the terminal and the page share."""

from __future__ import annotations

from common.config.units import UNITS, UTTERANCE
from server.federation.monitor.snapshot import WAITING, RunView, SiteView
from server.federation.runs.run_folder import LOST, RUNNING
from server.reporting.formatting import NONE, duration, score


def seconds(value: float | None) -> str:
    """A time that something takes; a dash where it isn't known."""
    return NONE if value is None else duration(value)


def size(count: int | None) -> str:
    """A number of bytes, ``1.4 MB``; a dash where it isn't known."""
    if count is None:
        return NONE
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def amount(count: int | None) -> str:
    """A number of recordings or speakers; a dash where it isn't known."""
    return NONE if count is None else f"{count}"


def counted(run: RunView | None) -> str:
    """What the sites say they trained on so many of: the units that they hide, or else recordings."""
    unit = UNITS[run.unit] if run is not None and run.unit else UTTERANCE
    return unit.nouns if unit.at_sites else UTTERANCE.nouns


def spent(site: SiteView) -> str:
    """A site's ε of the run, and all runs' against the budget, per unit of it; a dash where the site keeps it."""
    if site.epsilon is None:
        return NONE
    own = f"{site.epsilon:.2f}"
    if not site.budget:
        return own
    each = f" per {UNITS[site.budget_unit].noun}" if site.budget_unit in UNITS else ""
    return f"{own}, all runs {score(site.epsilon_total, 2)} of {site.budget:g}{each}"


def site_state(site: SiteView) -> tuple[str, bool]:
    """How a site is, in a word, and whether that is as it should be."""
    if site.revoked:
        return "revoked", False
    if site.online:
        return "online", True
    return ("offline" if site.registered else "no key yet"), False


def run_state(run: RunView) -> str:
    """How a run is, in a few words."""
    return {WAITING: "waiting for sites", RUNNING: "running", LOST: "lost: the SuperLink is gone"}.get(
        run.state, run.state
    )
