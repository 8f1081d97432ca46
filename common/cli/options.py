"""The command-line options that several commands share, so that each means the same everywhere.

An option that is not given is None, or an empty list: the command's settings then come from ``common.config.settings``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

_HOME = re.compile(r"^(--[a-z-]+=|)~(?=/|$)")
CORPORA = ("iemocap", "ravdess", "emodb", "casia", "cremad", "tess", "manifest", "synthetic")

CorpusName = Annotated[
    str | None, typer.Option("--corpus", metavar="NAME", help=f"The corpus: {', '.join(CORPORA)}.", show_default=False)
]
Root = Annotated[
    str | None,
    typer.Option("--root", metavar="PATH", help="The corpus's folder; for a manifest, the file.", show_default=False),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--classes",
        metavar="LABEL ...",
        help="The emotions to tell apart, e.g. ang hap exc sad neu fru; the corpus's own by default.",
        show_default=False,
    ),
]
LabelMap = Annotated[
    str | None,
    typer.Option("--label-map", metavar="FILE.toml", help='Renames labels, e.g. Wut = "anger".', show_default=False),
]
Style = Annotated[
    str | None,
    typer.Option(
        "--style", metavar="STYLE", help="Only improvised or only scripted speech (iemocap).", show_default=False
    ),
]
SpeakerIds = Annotated[
    str | None,
    typer.Option(
        "--speaker-ids",
        metavar="HOW",
        help="Of ids spelled alike (s4, S04): merge, they are one person, or distinct, they are several.",
        show_default=False,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Take any problem with a recording as fatal.")]
OutsideRoot = Annotated[
    bool, typer.Option("--outside-root", help="Let a manifest name recordings that lie outside its folder.")
]
Encoder = Annotated[
    Path | None,
    typer.Option(
        "--encoder", metavar="DIR|FILE", help="The public encoder of a model that has one in front.", show_default=False
    ),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


def option(flag: str, help_text: str, panel: str, **more: Any) -> Any:
    """An option of a command alone: its flag, its help, and the panel of the help text that it stands in."""
    return typer.Option(flag, help=help_text, rich_help_panel=panel, show_default=False, **more)


def classes(values: list[str] | None) -> tuple[str, ...]:
    """The names given with ``--classes``: repeated, or with commas or spaces between them."""
    return tuple(name for value in values or () for name in value.replace(",", " ").split())


def expand_home(arguments: list[str]) -> list[str]:
    """Let ``~/`` be the home in ``--root=~/emodb`` too, and in quotes, where shells leave it to the program."""
    home = os.path.expanduser("~")  # noqa: PTH111 - which stays as it is where there is none
    return [_HOME.sub(lambda found: found[1] + home, text) for text in arguments]


def fold_classes(arguments: list[str]) -> list[str]:
    """Let ``--classes`` take several words, as in ``--classes ang hap sad --root R``: joins them with commas.

    The words end at the next option. (Click's options take a fixed number of words.)
    """
    folded: list[str] = []
    open_words: list[str] | None = None
    for argument in arguments:
        if open_words is not None and not argument.startswith("-"):
            open_words.append(argument)
            folded[-1] = ",".join(open_words)
        else:
            folded.append(argument)
            open_words = None
            if argument == "--classes":
                folded.append("")
                open_words = []
    return folded
