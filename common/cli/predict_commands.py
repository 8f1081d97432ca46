"""``fedser predict``: class probabilities for recordings."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from common.cli import options
from common.escaping import as_json, one_line


def predict(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, or .npy feature matrices.")],
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="A run's folder, or its model.safetensors.")],
    json_output: options.JsonOutput = False,
) -> None:
    """Print the probability of each emotion for recordings."""
    import torch

    from common.errors import AudioError, FedserError
    from common.learning import saved_model
    from common.learning.prediction import predict as probabilities

    torch.set_num_threads(1)
    saved = saved_model.load(model)
    if saved.synthetic:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)
    failed = 0
    for path in files:
        try:
            shares = probabilities(saved, path, functools.partial(_tell, path))
        except AudioError as error:
            failed += 1
            typer.echo(f"fedser: error: {one_line(path)}: {error.detail}", err=True)
            continue
        if json_output:
            typer.echo(as_json({"path": str(path), "probabilities": shares, "synthetic": saved.synthetic}))
        else:
            ranked = sorted(shares.items(), key=lambda item: -item[1])
            typer.echo(f"{one_line(path)}: " + ", ".join(f"{name} {share:.2f}" for name, share in ranked))
    if failed:
        raise FedserError(f"{failed} of {len(files)} recordings cannot be used")


def _tell(path: Path, line: str) -> None:
    typer.echo(f"fedser: {path}: {line}", err=True)
