"""``fedser predict``: class probabilities for recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.cli import options
from common.escaping import as_json, one_line

if TYPE_CHECKING:  # they take seconds to import, and --help needs none
    from common.learning.prediction import Labelled
    from common.learning.saved_model import SavedModel

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, or .npy feature matrices.")]
Model = Annotated[Path, typer.Option("--model", metavar="DIR", help="A run's folder, or its model.safetensors.")]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="TEXT",
        show_default=False,
        help="What is said in the files, once for each in their order, for a model that was trained with text.buckets; "
        "without it such a model goes by the sound alone.",
    ),
]
Together = Annotated[
    bool, typer.Option("--together", help="The files are one speaker's: hear all of them, then label each.")
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        show_default=False,
        help="The files are one speaker's: go on from what FILE has of them, and add to it what is heard now. It is "
        "personal data (no sound, but sums that tell a voice; mode 600): delete it to forget the speaker.",
    ),
]


def predict(
    files: Files,
    model: Model,
    encoder: options.Encoder = None,
    text: Texts = None,
    together: Together = False,
    profile: Profile = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Print the probability of each emotion for recordings.

    Each file is taken by itself, as a stranger's, unless --together or --profile says that they are one speaker's.
    """
    import torch

    from common.errors import AudioError
    from common.learning import saved_model

    torch.set_num_threads(1)
    saved = saved_model.with_encoder(saved_model.load(model), encoder)
    if saved.synthetic:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)
    for one in _labelled(saved, files, text or [], together, profile):
        path = files[one.number]
        if isinstance(one.found, AudioError):
            typer.echo(f"fedser: error: {one_line(path)}: {one.found.detail}", err=True)
            continue
        if json_output:
            heard = {} if one.heard is None else {"heard_rows": one.heard}
            shown = {"path": str(path), "probabilities": one.found, "synthetic": saved.synthetic, **heard}
            typer.echo(as_json(shown))
        else:
            ranked = sorted(one.found.items(), key=lambda item: -item[1])
            typer.echo(f"{one_line(path)}: " + ", ".join(f"{name} {share:.2f}" for name, share in ranked))


def _labelled(
    saved: SavedModel, files: Sequence[Path], texts: Sequence[str], together: bool, profile: Path | None
) -> Iterator[Labelled]:
    """What became of each file; an error at the end, where some can't be used, so that a profile hears all or none."""
    from common.errors import AudioError, FedserError
    from common.learning.prediction import Listener, listening, read_file, with_words

    recordings = with_words(saved, [partial(read_file, saved, path) for path in files], texts)

    def say(number: int, line: str) -> None:
        _tell(files[number], line)

    alone, tell = not together and profile is None, partial(_tell, profile)
    with nullcontext(Listener(saved=saved)) if alone else listening(saved, profile, tell) as listener:
        failed = 0
        for one in (listener.together if together else listener.in_turn)(recordings, say):
            failed += isinstance(one.found, AudioError)
            yield one
        if failed:
            again = f"; nothing is added to {profile}: leave them out, and give the others again" if profile else ""
            raise FedserError(f"{failed} of {len(files)} recordings cannot be used{again}")


def _tell(path: Path | None, line: str) -> None:
    about = f"{one_line(path)}: " if path else ""
    typer.echo(f"fedser: {about}{line}", err=True)
