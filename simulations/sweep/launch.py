"""From the command line's wishes to a running benchmark, and its closing words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.settings import PATHS, Config, flatten
from common.errors import UsageError
from common.progress import Display, log_to
from common.validate import in_range, one_of
from server.reporting.artifacts import attempt
from simulations.job import start as simulation
from simulations.job.embedded import provide_embedded
from simulations.sweep.page import result_tables
from simulations.sweep.page.assembly import write_page
from simulations.sweep.statistics.effects import results, summary
from simulations.sweep.statistics.series import read
from simulations.sweep.trials import protocols
from simulations.sweep.trials.conditions import own_settings, parse
from simulations.sweep.trials.front_ends import divided
from simulations.sweep.trials.runner import SweepJob, benchmark
from simulations.sweep.trials.trial import Sweep

ENGINES = ("process", "ray")


@dataclass(frozen=True, kw_only=True)
class SweepStart:
    """What the user asked for; ``settings`` by flat name: only what was given, in a file or as flags."""

    settings: Mapping[str, Any]
    conditions: str | None
    strategies: str | None
    seeds: str | None
    preset: str | None
    baselines: bool
    workers: str | None
    out: Path | None
    command: str
    reference: Path | None = None
    audit: bool = False
    shadows: int = 4
    tune: int = 0
    engine: str = "process"
    address: str = ""


def start(wish: SweepStart) -> dict[str, Any]:
    """Run a benchmark, or go on with it.

    Returns:
        What ``--json`` prints.

    Raises:
        UsageError: an option is wrong.
        FedserError: a trial failed.
    """
    if wish.out is None:
        raise UsageError("--out is missing: it names the benchmark's folder, e.g. --out runs/cost")
    one_of("--engine", wish.engine, ENGINES)
    if wish.address and wish.engine != "ray":
        raise UsageError("--address names a Ray cluster: give --engine ray too")
    preset = protocols.read(wish.preset) if wish.preset else None
    sweep = sweep_of(wish, preset)
    with Display() as display:
        log_to(display.console)
        sweep = _with_places(sweep, display)
        job = SweepJob(
            sweep=sweep,
            out=wish.out,
            workers=workers_of(wish.workers),
            command=wish.command,
            engine=wish.engine,
            address=wish.address,
            preset=preset,
            reference=reference_of(wish.reference) if wish.reference else None,
        )
        benchmark(job, display)
        whole = read(job.out)
        page = job.out / "report.html"
        drawn = attempt(page, lambda: write_page([whole], job.out), kept=f"the results in {job.out}")
        display.console.print(result_tables.frontier(whole, results(whole)).terminal(columns=5))
        if drawn:
            display.say(f"{page}: the page; report.md, tables and figures lie beside it")
    return {"trials": len(whole.rows), "report": str(page), "results": summary(whole)}


def reference_of(path: Path) -> dict[str, Any]:
    """The unrestricted figure, of a run of ``fedser simulate``: the UAR, its interval, and the command.

    Raises:
        UsageError: the file is no result of such a run, or it was private.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        found = {"uar": float(whole["summary"]["uar"]["mean"]), "ci95": whole["summary"]["uar"]["ci95"]}
        found["command"], private = str(whole["command"]), whole["privacy"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"--reference {path}: expected the folder of a run of fedser simulate, or its result.json"
        ) from None
    if private:
        raise UsageError(f"--reference {path} is of a private run; give one without privacy")
    return found


def sweep_of(wish: SweepStart, preset: protocols.Preset | None) -> Sweep:
    """The sweep: what the user gave goes before what the preset says.

    Raises:
        UsageError: an option is wrong, or missing.
    """
    sweep = preset.sweep if preset else {}
    given = {**(preset.settings if preset else {}), **wish.settings}
    conditions = wish.conditions or sweep.get("conditions")
    if conditions is None:
        raise UsageError(
            "--conditions is missing: say how private, e.g. --conditions inf,utterance:8, or give a --preset"
        )
    config = Config().with_values(given)
    in_range("--shadows", wish.shadows, 2, 1000)
    in_range("--tune", wish.tune, 0, 1000)
    validation = str(given.pop("data.validation", "none")) if wish.tune else "none"
    if wish.tune and validation == "none":
        raise UsageError(
            "--tune chooses settings on validation speakers, and there are none: set some aside, e.g. --validation one"
        )
    asked = parse(conditions)
    given, encoded = divided(given, asked)
    return Sweep(
        given=given,
        encoded=encoded,
        conditions=asked,
        strategies=_several("--strategies", wish.strategies or sweep.get("strategies") or config.federation.strategy),
        sites=_several("--sites", config.data.sites),
        seeds=_seeds(wish.seeds or sweep.get("seeds") or str(config.seed)),
        baselines=wish.baselines,
        shadows=wish.shadows if wish.audit else 0,
        tune=wish.tune,
        validation=validation,
    )


def _several(flag: str, text: str) -> list[str]:
    names = text.replace(",", " ").split()
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{flag} is {text!r}, expected one or more names with commas between, none of them twice")
    return names


def _seeds(text: str) -> list[int]:
    names = _several("--seeds", text)
    if not all(name.isdecimal() for name in names):
        raise UsageError(f"--seeds is {text!r}, expected whole numbers with commas between, e.g. 0,1,2")
    return [int(name) for name in names]


def workers_of(text: str | None) -> int:
    """``--workers``: one a core for ``all``, and where it is not given."""
    if text is None or text == "all":
        return simulation.workers_of(None)
    if not text.isdecimal():
        raise UsageError(f"--workers is {text!r}, expected all or a number")
    return simulation.workers_of(int(text))


def _with_places(sweep: Sweep, display: Display) -> Sweep:
    """The settings with whole paths, and the made-up corpus, or its scaling, in place where that is asked for."""
    given = {**sweep.given, **_places(sweep.common, display)}  # a private recipe may ask for public speech's scaling
    encoded = dict(sweep.encoded)
    for condition in sweep.conditions if encoded else ():
        if condition.encoded:
            encoded |= _places(own_settings(condition, encoded), display)
    return dataclasses.replace(sweep, given=given, encoded=encoded)


def _places(settings: Mapping[str, Any], display: Display) -> dict[str, str]:
    places = ("data.corpus", "data.normalise", *PATHS)
    named = {n: value for n, value in settings.items() if n in places or n.startswith(("features.", "encoder."))}
    found = flatten(provide_embedded(Config().with_values(named).with_whole_paths(), display))
    return {name: str(found[name]) for name in PATHS if found[name]}
