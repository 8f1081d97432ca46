"""The federation at a glance, as the terminal, the admin page and the metrics show it: read from the folder alone.

Nothing that it reads is written for it: ``status.json`` is the server's, ``events.jsonl`` and ``run.log`` the run's,
``state.json`` the command's that started the run.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from common.config.settings import Config
from common.config.units import UNITS
from server.federation.folder.coordinator_folder import Folder
from server.federation.runs import run_folder
from server.federation.runs.run_folder import FINISHED, RUNNING, RunFolder
from server.federation.service import status
from server.reporting.formatting import natural
from server.run import run_log

LAST_WARNINGS = 5
WAITING = "waiting"  # for the sites, before there is a Flower run


@dataclass(frozen=True, kw_only=True)
class SiteView:
    """A site now, and in the run that is shown; None for what isn't known or what the site keeps to itself.

    Attributes:
        name: the site's.
        online: its node sends signs of life.
        registered: its key is known to the SuperLink.
        revoked: it may not come in any more.
        last_seen: when its node last was online.
        answered: the last round it took part in; 0 for none.
        examples: recordings that it trained on then, speakers with the speaker unit.
        seconds: that its training took.
        uar: of the global model on its validation speakers.
        bytes_round: that it sent in that round.
        bytes_total: that it sent in all rounds.
        epsilon: that it has spent on the run; by RDP, which says a little more, until PRV's figure is there at the end.
        epsilon_total: that it has spent on all runs, by RDP: what the budget is for.
        budget: what all runs may spend.
        budget_unit: whom both are for.
    """

    name: str
    online: bool = False
    registered: bool = False
    revoked: bool = False
    last_seen: datetime | None = None
    answered: int = 0
    examples: int | None = None
    seconds: float | None = None
    uar: float | None = None
    bytes_round: int | None = None
    bytes_total: int | None = None
    epsilon: float | None = None
    epsilon_total: float | None = None
    budget: float | None = None
    budget_unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """The newest run.

    Attributes:
        name: its folder's.
        state: waiting, running, finished, failed, stopped or lost.
        why: what went wrong.
        round: the last that is complete.
        rounds: in all.
        again: whether these are the rounds of the training that follows with the validation speakers.
        uars: on the validation speakers, a round each; None where there are none.
        round_seconds: that the last round took.
        heard: when the last round was complete.
        classes: how many emotions are told apart.
        unit: of privacy; None where the run is not private.
        test_uar: on the held-out speakers, at the end; None before, and where nobody could be asked.
        warnings: the last of the run's log, the newest last: time and text.
    """

    name: str
    state: str
    why: str
    round: int
    rounds: int
    again: bool
    uars: tuple[float | None, ...]
    round_seconds: float | None
    heard: datetime | None
    classes: int
    unit: str | None
    test_uar: float | None
    warnings: tuple[tuple[str, str], ...]

    @property
    def done(self) -> int:
        """How many rounds there were, both trainings' together."""
        return len(self.uars) + (self.round if self.again else 0)

    @property
    def unscored(self) -> bool:
        """Whether it is over, and nobody could be asked to score it."""
        return self.state == FINISHED and self.test_uar is None

    @property
    def place(self) -> str:
        """How far it is."""
        return f"round {self.round} of {self.rounds}{' with the validation speakers' if self.again else ''}"

    @property
    def last_uar(self) -> float | None:
        """On the validation speakers, of the last round."""
        return self.uars[-1] if self.uars else None

    @property
    def best_uar(self) -> float | None:
        """On the validation speakers, of the best round."""
        return max((uar for uar in self.uars if uar is not None), default=None)

    @property
    def remaining(self) -> timedelta | None:
        """How long the rounds that are left will take, if they take as long as the last."""
        if self.state != RUNNING or self.round_seconds is None:
            return None
        return timedelta(seconds=(self.rounds - self.round) * self.round_seconds)


@dataclass(frozen=True, kw_only=True)
class View:
    """The whole federation.

    Attributes:
        time: when it was looked at.
        host: the coordinator's name.
        up: whether the server runs, and its SuperLink answers.
        sites: sorted by name, those of the registry and those of the run.
        run: the newest; None before the first.
    """

    time: datetime
    host: str
    up: bool
    sites: tuple[SiteView, ...]
    run: RunView | None

    @property
    def online(self) -> int:
        """How many sites are."""
        return sum(site.online for site in self.sites)

    @property
    def expected(self) -> int:
        """How many sites could be online."""
        return sum(not site.revoked for site in self.sites)


def as_json(view: View) -> dict[str, Any]:
    """The view as ``/status.json`` gives it: the keys of ``state/status.json``, and the newest run."""
    sites = {site.name: _plain(site) for site in view.sites}
    head = {"time": view.time.isoformat(timespec="seconds"), "superlink": "up" if view.up else "down"}
    return {**head, "host": view.host, "sites": sites, "run": _plain(view.run) if view.run else None}


def _plain(part: SiteView | RunView) -> dict[str, Any]:
    values = dataclasses.asdict(part)
    return {k: v.isoformat(timespec="seconds") if isinstance(v, datetime) else v for k, v in values.items()}


def look(folder: Folder, now: datetime | None = None) -> View:
    """Read the folder.

    Raises:
        FederationError: the registry is broken.
    """
    time = now or datetime.now(UTC)
    known = status.read(folder, time)
    newest = run_folder.names(folder)[-1:]
    run = RunFolder(folder=folder, name=newest[0]) if newest else None
    events = run.events() if run else []
    spent = _spent(run) if run else {}
    names = sorted({*known["sites"], *(site for event in events for site in event["sites"])}, key=natural)
    sites = tuple(_site(name, known["sites"].get(name), events, spent.get(name, {})) for name in names)
    return View(
        time=time, host=folder.host, up=known["superlink"] == "up", sites=sites, run=_run(run, events) if run else None
    )


def _site(
    name: str, told: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]], spent: Mapping[str, Any]
) -> SiteView:
    first = sum("refit" not in event for event in events)
    own = [
        (event["round"] - (first if "refit" in event else 0), event["sites"][name])
        for event in events
        if name in event["sites"]
    ]
    answered, last = own[-1] if own else (0, {})
    sizes = [entry.get("bytes") for _, entry in own]
    known = [size for size in sizes if size is not None]
    about = told or {}
    seen = about.get("last_seen")
    return SiteView(
        name=name,
        online=bool(about.get("online")),
        registered=bool(about.get("registered")),
        revoked=bool(about.get("revoked")),
        last_seen=datetime.fromisoformat(seen) if seen else None,
        answered=answered,
        examples=last.get("examples"),
        seconds=last.get("seconds"),
        uar=next((entry["uar"] for _, entry in reversed(own) if entry.get("uar") is not None), None),
        bytes_round=last.get("bytes"),
        bytes_total=sum(known) if known else None,
        epsilon=spent.get("epsilon", last.get("epsilon")),
        epsilon_total=spent.get("epsilon_total", last.get("epsilon_total")),
        budget=spent.get("budget", last.get("budget")),
        budget_unit=spent.get("budget_unit", last.get("budget_unit")),
    )


def _spent(run: RunFolder) -> Mapping[str, Any]:
    """What the sites told of their ledgers at the end, by site; with the unit site what the server's says of each."""
    fold = run.result() if run.finished else None
    if fold is None or fold.privacy is None:
        return {}
    spent = {site: own.as_json() for site, own in fold.privacy.sites.items()}
    if not UNITS[fold.privacy.unit].at_sites and isinstance(fold.train_speakers, Mapping):
        return dict.fromkeys(fold.train_speakers, next(iter(spent.values())))
    return spent


def _run(run: RunFolder, events: Sequence[Mapping[str, Any]]) -> RunView:
    config, state = Config().with_values(run.read_start().settings), run.state()
    last = events[-1] if events else None
    rounds, refit = config.federation.rounds, last.get("refit", 0) if last else 0
    first = [event for event in events if event["round"] <= rounds]
    test = run.result().test if run.finished else None
    return RunView(
        name=run.name,
        state=state.state if state else WAITING,
        why=state.why if state else "",
        round=last["round"] - (rounds if refit else 0) if last else 0,
        rounds=refit or rounds,
        again=bool(refit),
        uars=tuple(event["validation"]["uar"] if event["validation"] else None for event in first),
        round_seconds=last["seconds"] if last else None,
        heard=datetime.fromtimestamp(last["time"], tz=UTC) if last else None,
        classes=len(config.data.classes),
        unit=config.privacy.unit if config.privacy.on else None,
        test_uar=test.uar if test else None,
        warnings=_warnings(run),
    )


def _warnings(run: RunFolder) -> tuple[tuple[str, str], ...]:
    try:
        with run.file("run.log").open(encoding="utf-8", errors="replace") as file:
            return tuple(deque(run_log.warnings(line.rstrip("\n") for line in file), maxlen=LAST_WARNINGS))
    except OSError:
        return ()
