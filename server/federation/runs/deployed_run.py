"""From the coordinator's wish to a deployed run's result: settings, sites that are there, the run, what it leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.config.settings import Config, flatten, refuse_other_version
from common.errors import FederationError, UsageError
from common.flower import bundle
from common.privacy.ledger.budget_unit import joined
from common.privacy.recipe import refuse_leaks
from common.privacy.sharing import shared_among
from common.progress import Display, log_to
from common.splits import plan as plans
from common.splits.plan import Plan
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.federation.runs import run_folder
from server.federation.runs.deployed_result import conclude
from server.federation.runs.follow import Follower
from server.federation.runs.run_folder import LOST, RUNNING, STOPPED, RunFolder, RunState
from server.federation.runs.run_planning import STATE_LEDGER, configured, place_inputs, plan_run, run_config
from server.federation.runs.submit import Progress, Runs
from server.federation.service import status
from server.reporting.artifacts import tell
from server.reporting.run_record import Result
from server.sites.meeting import NOBODY
from server.sites.robust import check_rule, check_secure

GONE = "No heartbeat"  # how Flower says that a ServerApp is gone without a word of its own


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the coordinator asked for.

    Attributes:
        settings: by flat name, only those that were given.
        name: of the run; the next free ``run-N`` where it is None.
        resume: the run to go on with.
        sites: how many sites must be online first; all that are registered where it is None.
        wait: seconds to wait for them.
        command: that asked for it, for the report.
    """

    settings: Mapping[str, Any]
    name: str | None
    resume: str | None
    sites: int | None
    wait: float
    command: str


def run(folder: Folder, wish: Wish) -> Result:
    """Run, or go on with, a federation of separate sites, and say what came out.

    Raises:
        UsageError: an option is wrong.
        FederationError: the run failed, with what the server said of it.
    """
    if not 0 <= wish.wait < math.inf:
        raise UsageError(f"--wait is {wish.wait}, expected a number of seconds from 0")
    with Display() as display, contextlib.closing(Runs(folder)) as runs:
        log_to(display.console)
        try:
            place = _resume(folder, runs, wish) if wish.resume else _fresh(folder, runs, wish, display)
            if not place.finished:
                _work(folder, runs, place, wish.wait, display)
        except ConnectionError:
            raise FederationError(
                f"the SuperLink at {folder.superlink} does not answer; see to fedser server --dir {folder.root}"
            ) from None
        known = place.state()
        whole = conclude(place, known.seconds if known else 0.0)
    tell(whole, place.path, display)
    return whole


def _fresh(folder: Folder, runs: Runs, wish: Wish, display: Display) -> RunFolder:
    place = RunFolder(folder=folder, name=wish.name or run_folder.next_name(folder))
    if place.path.exists():
        raise UsageError(f"--out {place.name} exists; go on with it by --resume {place.name}, or give another name")
    named = {"data.classes": list(folder.class_names)} if folder.classes else {}  # what the kits' policies allow
    config = joined(folder.root / STATE_LEDGER, configured({**named, **wish.settings}))
    quorum = _quorum(folder, wish.sites)
    config = shared_among(config, quorum)
    if config.federation.min_sites > quorum:
        raise UsageError(f"--min-sites is {config.federation.min_sites}, the run is for {quorum} sites")
    check_rule(config.federation, quorum)
    check_secure(config, quorum)
    _refuse_another(folder, runs, place.name)
    plan, kept = plan_run(config, quorum, folder, display, wish.command)
    place.write_start(kept)
    plan.write(place.file("plan.json"))
    display.say(f"{place.name}: {', '.join(plan.classes)}; {_tested(plan, config)}")
    return place


def _tested(plan: Plan, config: Config) -> str:
    if not plan.test and config.privacy.on:
        return "it will not be scored: without --root nobody may be asked in a private run"
    return f"{len(plan.test) or 'the sites hold the'} test speakers"


def _resume(folder: Folder, runs: Runs, wish: Wish) -> RunFolder:
    place = RunFolder(folder=folder, name=wish.resume or "")
    start = place.read_start()
    refuse_other_version(start.settings, f"--resume {place.name}")
    given = Config().with_values({**start.settings, **wish.settings}).with_whole_paths()
    if wish.name or flatten(given) != start.settings:
        raise UsageError(f"--resume {place.name} goes on with the settings that the run was started with; give none")
    _refuse_another(folder, runs, place.name)
    if wish.sites:  # a site may be gone for good
        quorum = _quorum(folder, wish.sites)
        place.write_start(dataclasses.replace(start, quorum=quorum))
        path = place.file("plan.json")
        dataclasses.replace(plans.read(path), quorum=quorum).write(path)
    return place


def _quorum(folder: Folder, asked: int | None) -> int:
    """How many sites must be online before round 1."""
    sites = [name for name, site in registry.read(folder.registry).items() if site.public_key and not site.revoked]
    if not sites:
        raise FederationError("no site is registered yet; fedser federation add-site takes a site's public key")
    if asked is not None and not 1 <= asked <= len(sites):
        raise UsageError(f"--sites is {asked}, expected 1 to {len(sites)}: {', '.join(sites)} are registered")
    return asked or len(sites)


def _refuse_another(folder: Folder, runs: Runs, own: str) -> None:
    """One run at a time: a site works on one message at a time, and the page shows one run."""
    for name in run_folder.names(folder):
        state = RunFolder(folder=folder, name=name).state()
        going = name != own and state is not None and state.state == RUNNING
        if going and state is not None and not runs.progress(state.flower).ended:
            raise UsageError(f"{name} still goes on; follow it with --resume {name}, and stop it there by Ctrl-C")


def _work(folder: Folder, runs: Runs, place: RunFolder, wait: float, display: Display) -> None:
    """Bring a run to its end at the SuperLink.

    Raises:
        UsageError: it is private, and a setting would tell of the recordings beside the noise; or no site's policy
            allows it.
        FederationError: it failed.
        ConnectionError: the SuperLink does not answer.
    """
    start, state = place.read_start(), place.state() or RunState(state=LOST)
    config = Config().with_values(start.settings)
    refuse_leaks(config)
    try:
        wait_for_sites(folder, start.quorum, wait, display)
    except (FederationError, KeyboardInterrupt) as error:
        if not place.discard():  # of a run that never was nothing is worth keeping
            place.note(dataclasses.replace(state, state=STOPPED, why=str(error) or "interrupted"))
        raise
    follower = Follower(runs=runs, run=place, config=config, display=display, seconds=state.seconds)
    ended = Progress(ended=True, why=GONE)
    if state.flower and state.state == LOST:
        runs.stop(state.flower)  # whatever is left of it must not work beside the new one
    elif state.flower and not runs.progress(state.flower).ended:
        display.say(f"{place.name} still goes on at the SuperLink; following it")
        ended = follower.follow(state.flower)
    if ended.why.startswith(GONE):
        ended = follower.follow(_start(runs, place))
    if ended.why.startswith(NOBODY):
        raise UsageError(ended.why)
    if not (ended.completed and place.finished):
        raise FederationError(_why(ended, place))


def _start(runs: Runs, place: RunFolder) -> int:
    """Hand the run in, and return Flower's number of it; where that fails before any work, its folder goes."""
    try:
        return runs.start(bundle.build(), run_config(place_inputs(place.read_start().settings, place), place))
    except (FederationError, ConnectionError):
        place.discard()
        raise


def _why(ended: Progress, place: RunFolder) -> str:
    """What the server said of a run's failure, and, where a round was finished, how to go on."""
    why = ended.why or "the run ended without a result; the SuperLink's log says why"
    if ended.stopped:
        why = "the run was stopped"
    elif why.startswith(GONE):
        why = "the run's ServerApp is gone, as after a crash of the SuperLink"
    return why if "--resume" in why or not place.events() else f"{why}; {place.resume_hint}"


def wait_for_sites(
    folder: Folder, quorum: int, wait: float, display: Display, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until so many sites are online.

    Raises:
        FederationError: they did not come in time; those that are missing are named.
    """
    deadline, said = time.monotonic() + wait, ""
    while line := _missing(folder, quorum):
        if time.monotonic() >= deadline:
            raise FederationError(f"after {wait:.0f} s {line}")
        if line != said:
            display.say(f"{line}; waiting for up to {wait:.0f} s")
            said = line
        sleep(1.0)


def _missing(folder: Folder, quorum: int) -> str:
    """What is missing before a run can start; nothing where it can."""
    now = status.read(folder, datetime.now(UTC))
    if now["superlink"] != "up":
        return f"the coordinator's server is not up (start it: fedser server --dir {folder.root}, or docker compose up)"
    sites = {name: site["online"] for name, site in now["sites"].items() if not site["revoked"]}
    online = sum(sites.values())
    if online >= quorum:
        return ""
    absent = ", ".join(name for name, here in sites.items() if not here)
    return f"{online} of {quorum} sites are online, missing: {absent} (--sites N starts with fewer)"
