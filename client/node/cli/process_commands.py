"""The commands that run a site: ``site run``, or ``site node`` and ``site trainer``, each in a container of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from client.node.site.node_settings import PORT, SUPERVISED, Address, NodeSettings, StateFolder, TrainerSettings
from common.deployment.environment import for_flower
from common.deployment.loopback import LOOPBACK
from common.validate import plain_path

Kit = Annotated[
    Path, typer.Option("--kit", help="The folder that the coordinator gave, unpacked; with the site's key.")
]
Data = Annotated[Path, typer.Option("--data", help="The folder of recordings.")]
Corpus = Annotated[str, typer.Option("--corpus", help="What it holds; else site.toml says.", show_default=False)]
LabelMap = Annotated[str, typer.Option("--label-map", help="How labels become classes; else as site.toml says.")]
KeptIn = Annotated[Path | None, typer.Option("--state", help="What the site keeps.", show_default="KIT/state")]
Listen = Annotated[str, typer.Option("--listen", help="Where the trainer reaches the node.")]


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: fedser site run --kit st-mary --data ~/recordings")(run)
    app.command(epilog="Example: fedser site node --kit /kit --state /state --data /data --listen desk:9094")(node)
    app.command(epilog="Example: fedser site trainer --node desk:9094 --state /state")(trainer)


def run(kit: Kit, data: Data, corpus: Corpus = "", label_map: LabelMap = "", state: KeptIn = None) -> None:
    """Take part in a federation, without containers: the node and the trainer, until this is told to end."""
    from client.node.site import site_process

    site_process.run(_settings(kit, data.absolute(), corpus, label_map, state))


def node(
    kit: Kit,
    data: Data,
    corpus: Corpus = "",
    label_map: LabelMap = "",
    state: KeptIn = None,
    listen: Listen = f"{LOOPBACK}:{PORT}",
) -> None:
    """Run the node: it speaks with the coordinator, keeps the policy, and sees no recording.

    --data is the folder as the trainer sees it.
    """
    settings = _settings(kit, data, corpus, label_map, state, Address.parse(listen))
    _begin(settings.state)
    from client.node.flower import supernode

    supernode.run(settings)


def trainer(
    node: Annotated[str, typer.Option("--node", help="Where the node listens.")] = f"{LOOPBACK}:{PORT}",
    state: Annotated[Path, typer.Option("--state", help="What the site keeps.")] = Path("state"),
) -> None:
    """Run the trainer: it works on the recordings, and speaks with the node alone."""
    settings = TrainerSettings(node=Address.parse(node), state=StateFolder(folder=state.absolute()))
    _begin(settings.state)
    from client.node.flower import trainer

    trainer.run(settings)


def _settings(
    kit: Path, data: Path, corpus: str, label_map: str, state: Path | None, listen: Address | None = None
) -> NodeSettings:
    folder = StateFolder(folder=(state or kit / "state").absolute())
    for name, path in (("--kit", kit.absolute()), ("--data", data), ("--state", folder.folder)):
        plain_path(name, path)
    return NodeSettings(
        kit=kit.absolute(), state=folder, data=str(data), listen=listen, corpus=corpus, label_map=label_map
    )


def _begin(state: StateFolder) -> None:
    os.environ.update(for_flower(state.flwr))
    if SUPERVISED in os.environ:
        from common.processes.parent_watch import end_with_parent

        end_with_parent()
