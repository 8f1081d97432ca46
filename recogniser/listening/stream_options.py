"""The options that ``recognise`` and ``listen`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Option("--model", metavar="DIR", help="An export's folder, or a run's.")]
Window = Annotated[float, typer.Option("--window", metavar="S", help="Seconds that a score looks back on.")]
Hop = Annotated[float, typer.Option("--hop", metavar="S", help="Seconds from score to score.")]
Vad = Annotated[str, typer.Option("--vad", metavar="silero|energy|none", help="What tells speech from the rest.")]
UnsureBelow = Annotated[
    float | None,
    typer.Option("--unsure", metavar="P", help="Name no emotion below this confidence.", show_default=False),
]
Leave = Annotated[
    float | None,
    typer.Option("--leave", metavar="SHARE", help="Name none for the least sure share.", show_default=False),
]
Denoise = Annotated[
    bool,
    typer.Option(
        "--denoise",
        help="Suppress noise first, of files alone (extra denoise). It takes a model that did not train with it from a "
        "recall of 0.888 to 0.444.",
    ),
]
Adapt = Annotated[
    str,
    typer.Option(
        "--adapt",
        metavar="recording|running|none",
        help="What a speaker's features are scaled by: all of the recording, what was heard before, or nothing of it.",
    ),
]
