"""``fedser encoders``: which public speech encoders there are, and what the one in a folder is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import escaping
from common.cli import options

if TYPE_CHECKING:  # torch comes with it, and --help has no use for that
    from common.encoders.known_encoders import Known
    from common.encoders.opening import Described

_UNKNOWN = "–"  # noqa: RUF001 - a dash in a table
_NOTES = (
    "* An emotion corpus was in its training data: figures on that corpus flatter it.",
    (
        "fedser downloads nothing: get a folder (config.json, model.safetensors, preprocessor_config.json if there is "
        "one) from its publisher, for instance with hf download NAME --local-dir DIR, and see what it is with "
        "fedser encoders DIR, SHA-256 included. Where there is only pytorch_model.bin, transformers' "
        "AutoModel.from_pretrained(DIR).save_pretrained(OTHER) writes model.safetensors; do that on a machine that "
        "holds no recordings, for such a file can run code."
    ),
)


def encoders(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR|FILE.onnx]", help="An encoder that is on this machine; a table of all without it."
        ),
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Public speech encoders: where to get each, its licence, its size, and what it was trained on; or what one is."""
    if path is None:
        _print_table(json_output)
    else:
        _print_described(path, json_output)


def _print_table(json_output: bool) -> None:
    from common.encoders.known_encoders import ENCODERS

    if json_output:
        typer.echo(escaping.as_json([asdict(own) for own in ENCODERS]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 1, 0))
    for title in ("encoder", "from", "licence", "MB", "layers by width", "trained on"):
        table.add_column(title, overflow="fold")
    for own in ENCODERS:
        table.add_row(*_row(own))
    console = Console()
    console.print(table)
    for own in ENCODERS:
        if own.sha256:
            console.print(f"{own.name}, SHA-256 {own.of}:\n  {own.sha256}", highlight=False)
    console.print(f"The others, SHA-256: {_UNKNOWN}; fedser encoders DIR computes it", highlight=False)
    for note in _NOTES:
        console.print(f"\n{note}", highlight=False, markup=False)


def _row(own: Known) -> tuple[str, ...]:
    heard = f" * {', '.join(own.heard)}" if own.heard else ""
    size = f"{own.layers} by {own.width}" if own.layers else _UNKNOWN
    return own.name, own.publisher, own.licence, str(own.megabytes or _UNKNOWN), size, own.trained_on + heard


def _print_described(path: Path, json_output: bool) -> None:
    from common.encoders.known_encoders import known
    from common.encoders.opening import describe_encoder

    told = describe_encoder(path)
    own = known(told.sha256)
    if json_output:
        typer.echo(escaping.as_json(asdict(told) | {"known": asdict(own) if own else None}))
    else:
        typer.echo(_text(told, own))


def _text(told: Described, own: Known | None) -> str:
    lines = [
        f"kind         {told.kind}",
        f"layers       {told.layers}, of {told.width} features a frame",
        f"frames       every {told.frame_seconds * 1000:g} ms",
        f"size         {told.bytes / 1e6:.1f} MB",
        f"SHA-256      {told.sha256}",
        f"of settings  {told.settings_sha256}",
    ]
    if own is None:
        return "\n".join([*lines, "trained on   not known by this hash: see what its publisher says"])
    lines += [f"known as     {own.name} ({own.of})", f"licence      {own.licence}", f"trained on   {own.trained_on}"]
    return "\n".join([*lines, *([f"* heard      {', '.join(own.heard)}"] if own.heard else [])])
