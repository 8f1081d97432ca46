"""The command-line option that the coordinator's commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="The coordinator's folder; by default the current one, else ./federation.",
        show_default=False,
    ),
]
