"""``fedser site personalise``: the site's own model of a run's, made at the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from client.node.cli.desk_commands import Kit, StateOption
from common.cli import options
from common.escaping import as_json, one_line

if TYPE_CHECKING:  # torch comes with it, and --help has no use for that
    from client.personal.personal_model import PersonalModel


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(epilog="Example: fedser site personalise --kit st-mary --model run --data ~/recordings")(personalise)


def personalise(
    kit: Kit,
    model: Annotated[
        Path, typer.Option("--model", metavar="DIR", help="The run's folder, as the coordinator gave it.")
    ],
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="The folder of recordings.")],
    how: Annotated[str, typer.Option("--how", help="What to try: prior, finetune, or both.")] = "both",
    state: StateOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write it; STATE/personal by default.", show_default=False),
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Make this site's own model of a run's: its own mix of classes, some more training, or both, if that is better.

    It is made of this site's recordings alone, without noise, and stays here. Nothing is sent; it needs no network.
    """
    import torch

    from client.node.site.node_settings import NodeSettings, StateFolder
    from client.personal import personal_folder
    from client.personal.personal_model import HOW, make_personal
    from client.personal.run_at_site import open_run
    from common.learning import saved_model
    from common.learning.before_refit import load_before_refit
    from common.validate import one_of

    one_of("--how", how, HOW)
    torch.set_num_threads(1)
    saved, unseen = saved_model.load(model), load_before_refit(model)
    folder = StateFolder(folder=state or kit / "state")
    site = open_run(NodeSettings(kit=kit, state=folder, data=str(data.expanduser().absolute())), saved)
    own = make_personal(site, saved, unseen, how)
    written = personal_folder.write_folder(out or folder.folder / "personal", own, saved, site.name)
    if json_output:
        typer.echo(as_json({"model": str(written), **_figures(own)}))
        return
    if saved.synthetic:
        typer.echo("The model is of synthetic speech: this says nothing of people.", err=True)
    typer.echo(f"{own.chosen}: {personal_folder.WHAT[own.chosen]}")
    typer.echo(personal_folder.judged(own))
    for line in personal_folder.warnings(own, saved.config):
        typer.echo(line)
    typer.echo(f"{one_line(written)}: written, with its card")


def _figures(own: PersonalModel) -> dict[str, Any]:
    ends = own.judged.interval() if own.judged else None
    return {
        "chosen": own.chosen,
        "epochs": own.epochs,
        "judges": own.told,
        "seen": own.seen,
        "gain_ci95": list(ends) if ends else None,
        "validation": own.judged.figures() if own.judged else None,
    }
