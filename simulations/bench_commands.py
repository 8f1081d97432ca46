"""``fedser bench``: the claims about speed, as commands."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from common.cli import options

bench = typer.Typer(help="Measure fedser's speed against what one would use instead.", no_args_is_help=True)


@bench.command(epilog="Example: fedser bench features --json")
def features(json_output: options.JsonOutput = False) -> None:
    """Feature extraction, on one core, in times real time; librosa, and openSMILE where it is installed, beside it."""
    from simulations.speed.feature_speed import run

    _print(run(), json_output)


@bench.command(epilog="Example: fedser bench engine --json")
def engine(json_output: options.JsonOutput = False) -> None:
    """The in-process engine against Flower's own, at 1,000 nodes, and against bare training; some two minutes."""
    from simulations.speed.engine_overhead import run

    _print(run(), json_output)


@bench.command("dp-step", epilog="Example: fedser bench dp-step --json")
def dp_step(
    repeats: Annotated[int, typer.Option(help="How often a plain step and ours run, taking turns.")] = 10,
    json_output: options.JsonOutput = False,
) -> None:
    """A private training step of a BiLSTM against a plain one and against Opacus's, on one thread; some two minutes."""
    from simulations.speed.dp_step import run

    _print(run(repeats), json_output)


@bench.command(epilog="Example: fedser bench sweep --json")
def sweep(json_output: options.JsonOutput = False) -> None:
    """64 trials of a benchmark over all cores, against the bare training in them; some twenty minutes."""
    from simulations.speed.sweep_overhead import run

    _print(run(), json_output)


def _print(figures: Any, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(figures))
        return
    from rich.console import Console

    Console().print_json(json.dumps(figures))
