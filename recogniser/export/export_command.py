"""``fedser export``: a trained model as files that ONNX Runtime runs, without torch and without fedser."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from common.cli import options
from common.errors import UsageError
from common.escaping import as_json, one_line

Model = Annotated[Path, typer.Option("--model", metavar="DIR", help="A run's folder, or its model.safetensors.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.")]
Given = Annotated[
    str, typer.Option("--input", metavar="sound|features", help="What model.onnx takes: a sound, or its features.")
]

EightBits = Annotated[
    bool,
    typer.Option("--int8", help="Write learnt weights as 8-bit numbers: a quarter of the size, for one stream a time."),
]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: fedser export --model runs/emodb --out emodb-onnx")(export)


def export(
    model: Model,
    out: Out,
    given: Given = "sound",
    eight_bits: EightBits = False,
    json_output: options.JsonOutput = False,
) -> None:
    """Write a model as ONNX files, once they were seen to give what the model gives."""
    import torch

    exporting = _exporting()
    torch.set_num_threads(1)
    record = exporting.export(model, out, given, eight_bits=eight_bits)
    if json_output:
        typer.echo(as_json(record))
        return
    if record["synthetic"]:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)
    worst = max(trial["difference"] for trial in record["parity"])
    typer.echo(f"{one_line(out)}: {', '.join(record['files'])}, model.json; at most {worst:.1g} off in a probability")


def _exporting() -> ModuleType:
    """What needs the extra.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("recogniser.export.exporting")
    except ImportError as error:
        raise UsageError(f"{error.name} is missing, which writes ONNX files: pip install fedser[recogniser]") from None
