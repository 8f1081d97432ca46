"""``fedser draw``: a recording as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.escaping import one_line

Recording = Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", help="An export's folder, or a run's: F0 and what it hears.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="F.png|F.svg", help="The picture; by default FILE's name.png, here.", show_default=False
    ),
]
Width = Annotated[int, typer.Option("--width", metavar="PIXELS", help="How wide the picture is.")]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: fedser draw --model runs/emodb --out session.svg session.flac")(draw)


def draw(file: Recording, model: Model = None, out: Out = None, width: Width = 1400) -> None:
    """Draw a recording: waveform, spectrogram, F0, speech and what a model hears, under one time axis.

    Without --model: waveform, spectrogram, and where a light gate hears speech.
    """
    from common.audio.reading import WARNINGS
    from common.errors import FedserError
    from common.storage import atomic
    from recogniser.listening.file_recognition import RecogniseSettings, recognise
    from recogniser.listening.run_export import open_model
    from recogniser.pictures import picture
    from recogniser.pictures.overview import look

    place = out or Path(f"{file.stem}.png")
    kind = picture.kind_of(place)
    opened = open_model(model) if model else None
    seen = look(file, opened)
    found = recognise(opened, file, RecogniseSettings()) if opened else None
    atomic.write(place, picture.draw(seen, file.name, found, kind=kind, width=width))
    typer.echo(one_line(place))
    for problem in seen.problems:
        typer.echo(f"fedser: error: {one_line(file)}: {one_line(problem.detail)}", err=True)
    if any(problem.kind not in WARNINGS for problem in seen.problems):
        raise FedserError(f"{file} cannot be used, or not all of it; drawn is what there is")
