"""``fedser benchmark``: what privacy costs in accuracy, as one command; ``fedser report``: its page again."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import options
from common.cli.settings_flags import takes_settings

SWEEP, RUN = "Sweep", "Run"
# What the conditions, --strategies and --seeds say.
WITHOUT = (
    "privacy.unit",
    "privacy.epsilon",
    "privacy.noise_multiplier",
    "privacy.budget",
    "privacy.canaries",
    "privacy.canary_kind",
    "federation.strategy",
    "federation.initial",
    "training.teacher",
    "seed",
)

benchmark = typer.Typer(
    invoke_without_command=True,
    suggest_commands=False,
    help="What does privacy cost in accuracy? A trial for every condition, strategy, number of sites, fold and seed, "
    "and a page with the frontier. The same command goes on with a benchmark that was stopped.",
    epilog="Example: fedser benchmark --corpus emodb --root ~/emodb --held-out kfold:5 --conditions inf,utterance:8 "
    "--out runs/cost",
)


@benchmark.callback()
@takes_settings(*WITHOUT)
def sweep(
    context: typer.Context,
    settings: dict[str, Any],
    conditions: Annotated[
        str | None,
        options.option("--conditions", "inf, or a unit and its ε: inf,utterance:8,site:8,inf:encoder.", SWEEP),
    ] = None,
    strategies: Annotated[
        str | None, options.option("--strategies", "fedavg by default; fedavg,fedprox,…", SWEEP)
    ] = None,
    seeds: Annotated[str | None, options.option("--seeds", "0 by default; 0,1,2,…", SWEEP)] = None,
    preset: Annotated[
        str | None, options.option("--preset", "A protocol: iemocap-loso, ravdess, emodb, cremad or casia.", SWEEP)
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines/--no-baselines", help="The pooled model, each site alone.", rich_help_panel=SWEEP),
    ] = True,
    workers: Annotated[
        str | None, options.option("--workers", "Processes: all, one a core, by default; 0 for none.", RUN)
    ] = None,
    audit: Annotated[
        bool, options.option("--audit", "Attack one fold's trials: members, canaries, gender.", SWEEP)
    ] = False,
    shadows: Annotated[int, options.option("--shadows", "Shadow models a question, for --audit; 4.", SWEEP)] = 4,
    tune: Annotated[
        int, options.option("--tune", "Choose settings among so many, on --validation speakers.", SWEEP)
    ] = 0,
    reference: Annotated[
        Path | None,
        options.option(
            "--reference", "A run of fedser simulate without privacy: a line on the page.", SWEEP, metavar="DIR"
        ),
    ] = None,
    engine: Annotated[str, options.option("--engine", "process, or ray for a Ray cluster.", RUN)] = "process",
    address: Annotated[str, options.option("--address", "Of a Ray cluster that is there already.", RUN)] = "",
    out: Annotated[Path | None, options.option("--out", "The benchmark's folder.", RUN, metavar="DIR")] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Train and score every trial that isn't there yet, and write the page."""
    if context.invoked_subcommand:
        return
    from simulations.sweep.launch import SweepStart, start

    wish = SweepStart(
        settings=settings,
        conditions=conditions,
        strategies=strategies,
        seeds=seeds,
        preset=preset,
        baselines=baselines,
        workers=workers,
        out=out,
        command=shlex.join(["fedser", *sys.argv[1:]]),
        reference=reference,
        audit=audit,
        shadows=shadows,
        tune=tune,
        engine=engine,
        address=address,
    )
    told = start(wish)
    if json_output:
        typer.echo(json.dumps(told))


@benchmark.command(epilog="Example: fedser benchmark compare runs/before runs/after")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A benchmark's folder: before.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another with the same trials: after.")],
    tolerance: Annotated[float, typer.Option("--tolerance", help="A loss of UAR that is allowed.")] = 0.0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Pass though B lacks conditions, folds or seeds that A has.")
    ] = False,
    json_output: options.JsonOutput = False,
) -> None:
    """Tell two benchmarks apart, with intervals: a check for CI.

    Exit code 1 where B is worse, by its 95 % interval and its corrected p below 0.05; where B lacks trials that A has;
    and where nothing can be compared. All this is over test speakers: how much another training would differ, with
    another seed or another draw of a private one's noise, is not covered.
    """
    from rich.console import Console

    from common.errors import FedserError
    from common.validate import in_range
    from simulations.sweep.statistics.compare import COVERS, as_json, problem, table
    from simulations.sweep.statistics.compare import compare as compared
    from simulations.sweep.statistics.series import read

    in_range("--tolerance", tolerance, 0.0, 1.0)
    found = compared(read(first), read(second))
    if json_output:
        typer.echo(json.dumps(as_json(found, tolerance, allow_missing=allow_missing)))
    else:
        console = Console(highlight=False)
        console.print(table(found.changes, tolerance).terminal())
        for folder, lines in ((first, found.missing), (second, found.extra)):
            for line in lines:
                console.print(f"only in {folder}: {line}", markup=False, soft_wrap=True)
        console.print(COVERS)
    if why := problem(found, tolerance, first=first, second=second, allow_missing=allow_missing):
        raise FedserError(why)


def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of fedser benchmark.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Where to; one benchmark's own folder by default.", show_default=False
        ),
    ] = None,
) -> None:
    """Draw a benchmark's page again, finished or not, or join several in one page."""
    from common.errors import UsageError
    from simulations.sweep.page.assembly import write_page
    from simulations.sweep.statistics.series import read

    if out is None and len(directories) > 1:
        raise UsageError("--out is missing: it names the folder for the page of several benchmarks")
    page = write_page([read(directory) for directory in directories], out or directories[0])
    typer.echo(f"{page}: the page; report.md, tables and figures lie beside it")
