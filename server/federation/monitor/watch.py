"""The federation at a glance in the terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from server.federation.folder.coordinator_folder import Folder
from server.federation.monitor.snapshot import RunView, SiteView, View, look
from server.federation.monitor.status_text import amount, counted, run_state, seconds, site_state, size, spent
from server.federation.runs.run_folder import FAILED, FINISHED, LOST
from server.reporting.formatting import NONE, ago, score

EVERY_SECONDS = 2.0
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 60  # characters of a sparkline


def watch(folder: Folder, console: Console, *, once: bool) -> None:
    """Show the federation until the user has seen enough, or once.

    Raises:
        FederationError: the folder's registry is broken.
    """
    if once:
        console.print(drawn(look(folder)))
        return
    live = Live(drawn(look(folder)), console=console, screen=console.is_terminal, auto_refresh=False)
    with contextlib.suppress(KeyboardInterrupt), live:
        while True:
            time.sleep(EVERY_SECONDS)
            live.update(drawn(look(folder)), refresh=True)


def drawn(view: View) -> RenderableType:
    """The federation as the terminal shows it."""
    state = Text("up", "green") if view.up else Text("down: start fedser server", "bold red")
    head = Text.assemble((view.host, "bold"), "  server ", state, f"  {view.online} of {view.expected} sites online")
    parts: list[RenderableType] = [head, Text()]
    if view.run is not None:
        parts += [*_run(view.run, view.time), Text()]
    else:
        parts += [Text("no run yet: fedser federation run starts one", "dim"), Text()]
    return Group(*parts, _sites(view), *_warnings(view))


def _run(run: RunView, now: datetime) -> list[RenderableType]:
    colour = {FINISHED: "green", FAILED: "bold red", LOST: "bold red"}.get(run.state, "cyan")
    line = Text.assemble((run.name, "bold"), "  ", (run_state(run), colour), f"  {run.place}")
    if run.round_seconds is not None:
        line.append(f"  {seconds(run.round_seconds)} a round")
    if run.remaining is not None:
        line.append(f"  {seconds(run.remaining.total_seconds())} left")
    if run.heard is not None:
        line.append(f"  last round {ago(run.heard, now)}", "dim")
    parts: list[RenderableType] = [line, ProgressBar(total=run.rounds, completed=run.round, width=WIDEST)]
    if run.best_uar is not None:
        uar = f"validation UAR {score(run.last_uar)}, best {score(run.best_uar)}"
        parts.append(Text.assemble((sparkline(run.uars), "cyan"), f"  {uar}"))
    if run.test_uar is not None:
        parts.append(Text(f"held-out UAR {score(run.test_uar)}", "bold green"))
    elif run.unscored:
        parts.append(Text("not scored: no held-out speaker is at the coordinator", "dim"))
    return parts


def _sites(view: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("site", "", "last seen"):
        table.add_column(name)
    private = view.run is not None and view.run.unit is not None
    figures = ("round", counted(view.run), "seconds", "sent", "in all", "ε" if private else "UAR")
    for name in figures:
        table.add_column(name, justify="right")
    for site in view.sites:
        table.add_row(*_row(site, view.time, private=private))
    return table


def _row(site: SiteView, now: datetime, *, private: bool) -> list[RenderableType]:
    word, good = site_state(site)
    mark = Text(f"{'●' if site.online else '○'} {word}", "green" if good else "bold red" if site.revoked else "yellow")
    seen = "now" if site.online else ago(site.last_seen, now)
    return [
        Text(site.name, "bold"),
        mark,
        seen,
        str(site.answered or NONE),
        amount(site.examples),
        score(site.seconds, 1),
        size(site.bytes_round),
        size(site.bytes_total),
        spent(site) if private else score(site.uar),
    ]


def _warnings(view: View) -> list[RenderableType]:
    if view.run is None:
        return []
    lines = [Text(f"{when[11:19]}  {text}", "yellow") for when, text in view.run.warnings]
    if view.run.why and view.run.state in (FAILED, LOST):
        lines.append(Text(view.run.why, "bold red"))
    return [Text(), *lines] if lines else []


def sparkline(values: Sequence[float | None]) -> str:
    """A row of blocks between the lowest and the highest value; of a long row the last ones, a blank for None."""
    shown = list(values)[-WIDEST:]
    known = [value for value in shown if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    steps = len(BLOCKS) - 1
    return "".join(
        " " if value is None else BLOCKS[round((value - low) / (high - low) * steps) if high > low else steps // 2]
        for value in shown
    )
