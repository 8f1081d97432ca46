"""``fedser recognise``: what is heard in recordings of any length, segment by segment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.escaping import one_line
from recogniser.listening.stream_options import Adapt, Denoise, Hop, Leave, Model, UnsureBelow, Vad, Window

if TYPE_CHECKING:  # ONNX Runtime and numpy, which --help needs none of
    from recogniser.listening.recording_result import RecordingResult

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, or folders of them.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where each result goes; what is there already is not done again."),
]
Formats = Annotated[
    str, typer.Option("--format", metavar="NAME,...", help="json, csv, textgrid, eaf, rttm, vtt, audacity.")
]
Channels = Annotated[
    str, typer.Option("--channels", metavar="mixed|separate", help="Hear the mean of all channels, or each for itself.")
]
Speakers = Annotated[
    Path | None,
    typer.Option("--speakers", metavar="RTTM", help="Who speaks when: an RTTM file.", show_default=False),
]
Prosody = Annotated[
    bool,
    typer.Option(
        "--prosody", help="Add rates, pauses, pitch and level to the JSON, in numbers: descriptive, no diagnosis."
    ),
]
Plot = Annotated[bool, typer.Option("--plot", help="Put a picture of each recording, a PNG, beside its results.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Processes; one a core for several recordings.", show_default=False
    ),
]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: fedser recognise --model runs/emodb session.flac\n\n"
        "A folder: fedser recognise --model runs/emodb --out results/ recordings/"
    )(recognise)


def recognise(
    files: Files,
    model: Model,
    out: Out = None,
    formats: Formats = "json",
    window: Window = 2.0,
    hop: Hop = 0.5,
    adapt: Adapt = "recording",
    vad: Vad = "silero",
    channels: Channels = "mixed",
    speakers: Speakers = None,
    unsure: UnsureBelow = None,
    leave: Leave = None,
    denoise: Denoise = False,
    prosody: Prosody = False,
    plot: Plot = False,
    jobs: Jobs = None,
) -> None:
    """Find the speech in recordings, and the emotion of each stretch of it.

    What was found goes to standard output, or with --out to a file a recording: JSON, and beside it what --format
    names. What is wrong with a recording is said there and here, and the others are done.
    """
    from functools import partial

    from common.errors import FedserError
    from common.processes.cores import usable_cores
    from recogniser.formats.available_formats import parse_formats
    from recogniser.listening.file_recognition import RecogniseSettings, is_broken
    from recogniser.listening.lane import ListenSettings
    from recogniser.listening.run_export import open_model
    from recogniser.recordings.batch import Batch, tasks, turns_of
    from recogniser.recordings.batch_processes import shared_out
    from recogniser.sound.noise_suppression import noise_reduction

    _refuse_channels(channels, speakers)
    listen = ListenSettings(window=window, hop=hop, adapt=adapt, vad=vad, separate=channels == "separate")
    settings = RecogniseSettings(listen=listen, unsure=unsure or 0.0, leave=leave or 0.0, denoise=denoise)
    if denoise:
        noise_reduction()  # or it is said here that it is not there
    asked = parse_formats(formats)
    _refuse_out(out, plot=plot, formats=formats if len(asked) > 1 else "")
    found = tasks(files, written=out is not None)
    turns = turns_of(found, speakers) if speakers else {}
    plan = partial(Batch, settings=settings, turns=turns, prosody=prosody, plot=plot, out=out, formats=asked)
    hears = open_model(model)
    if hears.said.synthetic:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)
    count, broken = min(jobs or usable_cores(), len(found)), 0
    for result, kept in shared_out(plan, model, found, count) if count > 1 else map(plan(model=hears).done, found):
        typer.echo(_line(result, kept=kept) if out else asked[0].write(result), nl=bool(out))
        _tell_problems(result)
        broken += is_broken(result)
    if broken:
        raise FedserError(f"{broken} of {len(found)} recordings cannot be used, or not all of each")


def _refuse_channels(channels: str, speakers: Path | None) -> None:
    from common.errors import UsageError

    if channels not in ("mixed", "separate"):
        raise UsageError(f"--channels {channels}: expected mixed or separate")
    if speakers and channels == "separate":
        raise UsageError("--speakers and --channels separate both say who speaks: give one")


def _refuse_out(out: Path | None, *, plot: bool, formats: str) -> None:
    """``formats``: as they were named where there are several."""
    from common.errors import UsageError

    if out and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder for the results")
    if plot and out is None:
        raise UsageError("--plot without --out: give a folder to write to")
    if formats and out is None:
        raise UsageError(f"--format {formats} without --out: give one format, or a folder to write to")


def _line(result: RecordingResult, *, kept: bool) -> str:
    ranked = sorted(result.summary.share.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {share:.2f}" for name, share in ranked if share)
    count = f"{len(result.segments)} segments, {result.summary.speech:.1f} s of speech"
    return f"{one_line(result.path)}: {count}{': ' if named else ''}{named}{' (done before)' if kept else ''}"


def _tell_problems(result: RecordingResult) -> None:
    for problem in result.problems:
        typer.echo(f"fedser: error: {one_line(result.path)}: {one_line(problem.detail)}", err=True)
