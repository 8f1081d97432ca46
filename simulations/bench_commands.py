"""``fedser bench``: the claims about speed, and scores of windows, in noise and of long recordings, as commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import options
from common.errors import UsageError

bench = typer.Typer(
    help="Measure fedser's speed against other tools, and its models on windows, in noise and on long recordings.",
    no_args_is_help=True,
)


@bench.command(epilog="Example: fedser bench features --json")
def features(json_output: options.JsonOutput = False) -> None:
    """Feature extraction, on one core, in times real time; librosa, and openSMILE where it is installed, beside it."""
    from simulations.speed.feature_speed import run

    _print(run(), json_output)


@bench.command(epilog="Example: fedser bench encoders --encoder ~/encoders/whisper-tiny --layer 2")
def encoders(
    encoder: Annotated[Path, typer.Option("--encoder", metavar="DIR|FILE.onnx", help="A public encoder.")],
    layer: Annotated[
        int | None, typer.Option("--layer", metavar="N", help="Up to this layer; all by default.", show_default=False)
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """A public encoder on one core: ms and MB a second of sound; transformers, where it is installed, beside it."""
    from simulations.speed.encoder_speed import run

    _print(run(encoder, layer), json_output)


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


@bench.command(epilog="Example: fedser bench masks --json")
def masks(
    repeats: Annotated[int, typer.Option(help="Rounds, beside the first.")] = 5,
    json_output: options.JsonOutput = False,
) -> None:
    """A round of masked sums at 3, 4 and 10 sites: CPU of a site's node and of the coordinator, and what is sent."""
    from simulations.speed.mask_cost import run

    _print(run(repeats), json_output)


@bench.command(epilog="Example: fedser bench sweep --json")
def sweep(json_output: options.JsonOutput = False) -> None:
    """64 trials of a benchmark over all cores, against the bare training in them; some twenty minutes."""
    from simulations.speed.sweep_overhead import run

    _print(run(), json_output)


@bench.command(epilog="Example: fedser bench recogniser --json")
def recogniser(json_output: options.JsonOutput = False) -> None:
    """The recogniser on one core: a hop, live streams, hours of speech, a start; librosa and torch beside it.

    Some six minutes, with made-up voices and a model of the default size.
    """
    from common.progress import Display
    from simulations.hearing.recogniser_speed import run

    with Display() as display:
        figures = run(display)
    _print(figures, json_output)


@bench.command(epilog="Example: fedser bench clients --count 1000 --json")
def clients(
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="Of each kind.")] = 1000,
    json_output: options.JsonOutput = False,
) -> None:
    """Bad clients of a service, so many of each of fifteen kinds: what they are told, and what they leave behind.

    Some ten minutes; a message of 1 GB needs 3 GB of memory.
    """
    import tempfile

    from common.progress import Display
    from simulations.hearing import bad_clients
    from simulations.hearing.untrained_model import write_model

    with Display() as display, tempfile.TemporaryDirectory(prefix="fedser-bench-") as folder:
        step, done = display.step("clients", len(bad_clients.KINDS) + 1), iter(range(1, 100))
        figures = bad_clients.run(write_model(Path(folder)), count, lambda said: step.update(next(done), said))
    _print(figures, json_output)


@bench.command(epilog="Example: fedser bench gate --json")
def gate(
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=1.0, help="Of each sound.")] = 600.0,
    json_output: options.JsonOutput = False,
) -> None:
    """Segments that are heard where nobody speaks: in silence, noise, hum and a melody at three levels; none should be.

    Some minutes.
    """
    import tempfile

    from common.progress import Display
    from simulations.hearing import no_speech
    from simulations.hearing.untrained_model import write_model

    with Display() as display, tempfile.TemporaryDirectory(prefix="fedser-bench-") as folder:
        step, done = display.step("gate", len(no_speech.KINDS)), iter(range(1, 100))
        figures = no_speech.run(write_model(Path(folder)), seconds, lambda said: step.update(next(done), said))
    _print(figures, json_output)


@bench.command(epilog="Example: fedser bench windows --run runs/emodb --seconds 0.5,2")
def windows(
    run: Annotated[Path, typer.Option("--run", metavar="DIR", help="A finished run of fedser simulate.")],
    seconds: Annotated[str, typer.Option("--seconds", metavar="LIST", help="Lengths of windows.")] = "0.5,2",
    json_output: options.JsonOutput = False,
) -> None:
    """What a run's models make of short windows of its held-out recordings, each alone, beside whole recordings."""
    from common.progress import Display
    from simulations.speed import window_scores

    lengths = _lengths(seconds)
    with Display() as display:
        figures = window_scores.run(run, lengths, display)
    if json_output:
        _print(figures, json_output)
    else:
        _tell_windows(figures)


def _lengths(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seconds is {text!r}, expected lengths of windows in seconds, e.g. 0.5,2") from None


def _tell_windows(figures: Mapping[str, Any]) -> None:
    """The means over folds, a line a length."""
    from rich.console import Console
    from rich.table import Table

    from server.reporting.formatting import score

    table = Table("seconds", "windows", "UAR, first heard", "UAR, all of the speaker heard", box=None)
    for length, uar in figures["summary"].items():
        count = sum(fold["windows"][length]["count"] for fold in figures["folds"])
        table.add_row(length, str(count), *map(score, uar.values()))
    Console().print(table)


@bench.command(epilog="Example: fedser bench noise --run runs/emodb")
def noise(
    run: Annotated[Path, typer.Option("--run", metavar="DIR", help="A finished run of fedser simulate.")],
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; one a core by default.")] = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="Also with noisereduce in front, as recognise --denoise has it.")
    ] = False,
    json_output: options.JsonOutput = False,
) -> None:
    """What a run's models make of a stranger's first recordings in noise: pink, babble, and a room that echoes."""
    from common.progress import Display
    from simulations.speed import noisy_scores

    with Display() as display:
        figures = noisy_scores.run(run, workers, display, suppress=denoise)
    if json_output:
        _print(figures, json_output)
    else:
        _tell_noise(figures)


def _tell_noise(figures: Mapping[str, Any]) -> None:
    """The mean UAR over folds, a line a kind."""
    from rich.console import Console
    from rich.table import Table

    from server.reporting.formatting import noise_level, score

    levels = next(iter(figures["summary"].values()))
    table = Table("UAR, first heard", *map(noise_level, levels), box=None)
    for ending, curves in (("", figures["summary"]), (", suppressed", figures.get("suppressed", {}))):
        for kind, curve in curves.items():
            table.add_row(kind + ending, *(score(own["uar"]) for own in curve.values()))
    Console().print(table)


@bench.command(epilog="Example: fedser bench trajectory --run runs/emodb")
def trajectory(
    run: Annotated[Path, typer.Option("--run", metavar="DIR", help="A finished run of fedser simulate.")],
    seed: Annotated[int, typer.Option("--seed", help="Of the utterances' order and the gaps between them.")] = 0,
    json_output: options.JsonOutput = False,
) -> None:
    """Emotion diarization error of a run's models: held-out speakers' utterances joined to one recording with gaps."""
    from common.progress import Display
    from simulations.speed import trajectory_scores

    with Display() as display:
        figures = trajectory_scores.run(run, seed, display)
    if json_output:
        _print(figures, json_output)
    else:
        _tell_trajectory(figures)


def _tell_trajectory(figures: Mapping[str, Any]) -> None:
    """The error over all speakers and its parts, a line a way of adapting."""
    from rich.console import Console
    from rich.table import Table

    from server.reporting.formatting import score

    table = Table("adapted to", "diarization error", "missed", "false", "confused", box=None)
    for name, error in figures["summary"].items():
        table.add_row(name, *map(score, error.values()))
    Console().print(table)


def _print(figures: Any, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(figures))
        return
    from rich.console import Console

    Console().print_json(json.dumps(figures))
