"""``fedser site``, what is done at the desk: keygen, bundle, roster, dry-run, forget, audit verify."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import options
from common.cli.settings_flags import takes_settings

KitFolder = Annotated[
    Path | None,
    typer.Option("--kit", metavar="KIT", help="The folder that the site's kit was unpacked to.", show_default=False),
]
Kit = Annotated[Path, typer.Option("--kit", metavar="KIT", help="The folder that the site's kit was unpacked to.")]
StateOption = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="What the site keeps; KIT/state by default.")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="The folder of recordings.", show_default=False)
]


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: fedser site keygen --kit st-mary")(keygen)
    app.command("bundle", epilog="Example: fedser site bundle --kit st-mary")(check_bundle)
    app.command(epilog="Example: fedser site roster roster.toml --kit st-mary")(roster)
    app.command(epilog="Example: fedser site dry-run --kit st-mary --data ~/recordings --epsilon 8")(
        takes_settings(
            *("data.root", "data.speaker_ids", "data.outside_root", "data.folds", "data.held_out", "data.sites"),
            *("training.teacher", "federation.initial"),
        )(dry_run)
    )
    app.command(epilog="Example: fedser site forget --kit st-mary --speaker P17 --data ~/recordings")(forget)
    site_log = typer.Typer(no_args_is_help=True, suggest_commands=False, help="The site's audit log.")
    site_log.command(epilog="Example: fedser site audit verify --kit st-mary")(verify)
    app.add_typer(site_log, name="audit")


def keygen(
    kit: KitFolder = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Another folder for the key.", show_default=False)
    ] = None,
) -> None:
    """Make this site's key; the coordinator gets key.pub and nothing else."""
    from client.node.site import keys
    from client.node.site import kit as kits
    from common.errors import UsageError

    if (kit is None) == (out is None):
        raise UsageError("give --kit KIT, or --out DIR for another folder")
    if kit is not None:
        kits.read(kit)
    pair = keys.generate(out or kit or Path())
    typer.echo(f"{pair.private}: the site's key, for nobody else")
    typer.echo(f"{pair.public}: for the coordinator: fedser federation add-site --name … --public-key key.pub")
    typer.echo(pair.line)


def check_bundle(
    kit: KitFolder = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="A policy, instead of a kit's.", show_default=False)
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", metavar="DIR", help="A copy of the project; by default what is installed.", show_default=False
        ),
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """List the files of the bundle, with their lines, and compare its hash with those that the policy allows.

    The bundle is built here from the source, as the coordinator builds it: read those files, and you have read what
    will run. Where it is another than is allowed, the exit code is 1.
    """
    from client.node.site import code_check
    from common.deployment.site_kit import POLICY
    from common.errors import UsageError
    from common.flower import bundle

    if (policy is None) == (kit is None):
        raise UsageError("give --kit KIT, or --policy FILE for a policy that lies elsewhere")
    found = code_check.check_code(policy or (kit or Path()) / POLICY, source.absolute() if source else bundle.ROOT)
    if json_output:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        for line in code_check.render(found):
            typer.echo(line)
    raise typer.Exit(0 if found.allowed else 1)


def roster(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A roster.toml, instead of the one that the policy names.")
    ] = None,
    kit: KitFolder = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Show the digest of the keys with which this site adds up, to be read to the other sites by telephone.

    Where the kit's own key is another than the file has of this site, the exit code is 1.
    """
    from client.node.site import peers

    found = peers.look_at(file, kit)
    if json_output:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    else:
        for line in peers.render(found):
            typer.echo(line)
    raise typer.Exit(1 if found.fault else 0)


def dry_run(
    settings: dict[str, Any],
    kit: Kit,
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="The folder of recordings.")],
    state: StateOption = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Show what would leave this site in a run with these settings, by the fedser that is installed here.

    Nothing is sent, and nothing is written: not even to the ledger.
    """
    from client.node.dry_run import dry_report, rehearsal
    from client.node.site import kit as kits
    from client.node.site.node_settings import Address, NodeSettings, StateFolder
    from common.deployment.loopback import LOOPBACK

    site_kit = kits.read(kit)
    node = NodeSettings(
        kit=kit,
        state=StateFolder(folder=state or kit / "state"),
        listen=Address(host=LOOPBACK, port=0),
        data=str(data.expanduser().absolute()),
        corpus=settings.pop("data.corpus", ""),
        label_map=settings.pop("data.label_map", ""),
    )
    report = rehearsal.dry_run(node, site_kit, settings)
    if json_output:
        typer.echo(json.dumps(dataclasses.asdict(report)))
        return
    from rich.console import Console

    Console().print(dry_report.render(report))


def forget(
    kit: Kit,
    speaker: Annotated[str, typer.Option("--speaker", metavar="ID", help="As the corpus, or the manifest, has it.")],
    data: Data = None,
    state: StateOption = None,
) -> None:
    """Take a speaker who withdraws out of this site's data, from now on."""
    from client.node.site import forget as word
    from client.node.site import kit as kits
    from client.node.site.node_settings import StateFolder
    from common.config.settings import DataConfig

    site_kit = kits.read(kit)
    recordings = None
    if data is not None:
        place = str(data.expanduser())
        own = DataConfig(
            corpus=site_kit.corpus,
            root=site_kit.recordings(place),
            label_map=site_kit.labels(place),
            speaker_ids=site_kit.speaker_ids,
            outside_root=True,
        )
        recordings = word.recordings_of(speaker, own)
    os.umask(0o007)  # the training process, another user of the same group, writes on in the same ledger
    kept = StateFolder(folder=state or kit / "state")
    done = word.forget(speaker, kit=site_kit, state=kept)
    typer.echo(f"speaker {speaker} {'was forgotten before' if done.before else 'is forgotten'}; {done.listed} in all")
    if recordings is None:
        typer.echo("  nobody looked whether there is such a speaker: give --data FOLDER to have it checked")
    else:
        typer.echo(f"  {recordings} recordings at {data} are not used any more")
    if not done.features:
        typer.echo(f"  no features lie at {kept.cache}; if the training process keeps them elsewhere, empty that")
    typer.echo(f"what this does: {word.DOES}")
    typer.echo(f"what it does not: {word.DOES_NOT}")


def verify(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The log, instead of a kit's.")] = None,
    kit: KitFolder = None,
    state: StateOption = None,
    coordinator: Annotated[
        Path | None,
        typer.Option(
            "--coordinator", metavar="FILE", help="The coordinator's log of a run, to be held against this one too."
        ),
    ] = None,
    json_output: options.JsonOutput = False,
) -> None:
    """Verify every line of the audit log: an edited, dropped or moved one is named."""
    from client.node.audit import site_log
    from client.node.site.node_settings import StateFolder
    from common.errors import ChainError, UsageError

    if (file is None) == (kit is None and state is None):
        raise UsageError("give --kit KIT, or the log's own path")
    found = site_log.verify(file or StateFolder(folder=state or (kit or Path()) / "state").audit, coordinator)
    if json_output:
        typer.echo(json.dumps(dataclasses.asdict(found)))
        raise typer.Exit(1 if found.fault or found.coordinator_fault else 0)
    if found.fault:
        raise ChainError(found.fault)
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.kinds.items())
    typer.echo(f"sound: {found.entries} lines ({kinds or 'none'})")
    if found.entries:
        typer.echo(f"from {found.first} to {found.last}; head {found.head}")
    if found.coordinator_fault:
        raise ChainError(found.coordinator_fault)
    if coordinator:
        typer.echo(f"{coordinator}: its first {found.told} lines are those that this site was told of")
