"""``fedser federation``: the coordinator's folder, its sites and their keys, its certificates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from common.cli.options import JsonOutput
from server.federation.cli.folder_option import Dir

if TYPE_CHECKING:
    from server.federation.folder.coordinator_folder import Folder
    from server.federation.folder.registry import RegisteredSite

Name = Annotated[str, typer.Option("--name", help="The site.", show_default=False)]


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: fedser federation init federation --host fl.example.org --sites st-mary,charite")(init)
    app.command(
        epilog="Example: fedser federation add-site --name st-mary --public-key key.pub --recordings 480 --speakers 12"
    )(add_site)
    app.command(epilog="Example: fedser federation revoke-site --name st-mary")(revoke_site)
    app.command(epilog="Example: fedser federation renew-certificates")(renew_certificates)
    app.command(epilog="Example: fedser federation roster > roster.toml")(roster)
    app.command(epilog="Example: fedser federation status --json")(status)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.", show_default=False)],
    host: Annotated[
        str | None, typer.Option("--host", help="The name by which sites reach this machine.", show_default=False)
    ] = None,
    sites: Annotated[str, typer.Option("--sites", metavar="A,B,C", help="The sites' names.", show_default=False)] = "",
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="A,B,C",
            help="The emotions that the kits' policies allow; without it those of each site's corpus, which a manifest "
            "has none of.",
            show_default=False,
        ),
    ] = None,
    open_kits: Annotated[
        bool | None,
        typer.Option(
            "--open",
            help="Kits that allow runs without privacy too; by default private ones alone.",
            show_default=False,
        ),
    ] = None,
    trial_keys: Annotated[
        bool, typer.Option("--trial-keys", help="Put ready keys into the kits, for a trial.")
    ] = False,
    port: Annotated[int | None, typer.Option("--port", help="Where sites reach it.  [default: 8443]")] = None,
    admin_port: Annotated[
        int | None, typer.Option("--admin-port", help="The admin page's, on loopback.  [default: 8080]")
    ] = None,
    superlink_port: Annotated[
        int | None, typer.Option("--superlink-port", help="Flower's, on loopback.  [default: 8000]")
    ] = None,
) -> None:
    """Make the coordinator's folder and a kit a site; run again, it adds sites and replaces no key."""
    from server.federation.folder import kit_builder, registry, site_image
    from server.federation.service import setup

    names = registry.names(name.strip() for name in sites.split(",") if name.strip())
    given = {"host": host, "port": port, "admin_port": admin_port, "superlink_port": superlink_port, "classes": classes}
    given["open_kits"] = open_kits
    coordinator_folder = setup.settle(directory, {name: value for name, value in given.items() if value is not None})
    made = setup.furnish(coordinator_folder, names, datetime.now(UTC), trial_keys=trial_keys)
    typer.echo(f"{coordinator_folder.root}: the coordinator of {coordinator_folder.address}")
    for name, done in made.sites.items():
        typer.echo(f"  {kit_builder.path(coordinator_folder, name).relative_to(coordinator_folder.root)}  {done}")
    typer.echo(coordinator_folder.form.allows)
    typer.echo(f"the kits allow the bundle {made.sent.bundle}")
    typer.echo(f"the sites' image: {made.sent.image or site_image.UNKNOWN}")
    told = (
        ", ".join(coordinator_folder.class_names) or "those of each site's corpus; a site with a manifest names its own"
    )
    typer.echo(f"the emotions that their policies allow: {told}")
    for line in _certificates(coordinator_folder):
        typer.echo(line)
    if trial_keys:
        typer.echo("the kits hold private keys: for a trial only, and to be sent in secret")
    else:
        typer.echo("send each site its kit; it answers with its key.pub, for fedser federation add-site")


def add_site(
    name: Name,
    public_key: Annotated[
        Path, typer.Option("--public-key", metavar="FILE", help="The site's key.pub.", show_default=False)
    ],
    recordings: Annotated[
        int | None,
        typer.Option(
            "--recordings",
            help="How many the site holds, as agreed with it: one that says a fifth more is not in the run.",
            show_default=False,
        ),
    ] = None,
    speakers: Annotated[
        int | None, typer.Option("--speakers", help="Likewise, of how many people.", show_default=False)
    ] = None,
    directory: Dir = None,
) -> None:
    """Let a site's key in, and agree how much the site holds; a key that it had before is shut out."""
    from server.federation.folder import coordinator_folder, registry
    from server.federation.service import setup

    found = coordinator_folder.find(directory)
    key = registry.read_public_key(public_key)
    before = setup.read_registry(found)
    after = registry.with_key(before, name, key)
    if recordings is not None or speakers is not None:
        after = registry.with_agreement(after, name, recordings, speakers)
    if name not in before:
        setup.furnish(found, [name], datetime.now(UTC), trial_keys=False)
    registry.write(found.registry, after)
    old = before[name].public_key if name in before else None
    typer.echo(f"{name} may come in with the key {registry.fingerprint(key)}; ask the site whether that is its key")
    if old and old != key:
        typer.echo(f"its former key {registry.fingerprint(old)} is shut out for good")
    typer.echo(_agreement(after[name]))


def _agreement(site: RegisteredSite) -> str:
    if site.recordings is None:
        return (
            "nothing is agreed of how much it holds: among three sites or more it is at most two equal sites' share of "
            "the model, of two as much as it says; --recordings N --speakers N agrees it"
        )
    return f"it is agreed to hold {site.recordings} recordings of {site.speakers} speakers; with a fifth more it is out"


def revoke_site(name: Name, directory: Dir = None) -> None:
    """Shut a site's key out, for good."""
    from server.federation.folder import coordinator_folder, registry
    from server.federation.service import setup

    found = coordinator_folder.find(directory)
    registry.write(found.registry, registry.without(setup.read_registry(found), name))
    typer.echo(f"{name} is shut out as soon as the server sees it; to come back it needs a new key")


def renew_certificates(
    directory: Dir = None,
    authority: Annotated[
        bool, typer.Option("--ca", help="A new authority too: every site then needs the new ca.crt.")
    ] = False,
) -> None:
    """Replace the coordinator's certificate and key."""
    from server.federation.folder import ca, coordinator_folder, kit_builder
    from server.federation.service import setup

    found = coordinator_folder.find(directory)
    ca.renew(found, datetime.now(UTC), authority=authority)
    setup.hand_over(found)
    for line in _certificates(found):
        typer.echo(line)
    if authority:
        sites = kit_builder.replace_authority(found)
        typer.echo(f"no site trusts the new authority yet: send its ca.crt, or its kit anew, to {', '.join(sites)}")
    typer.echo("start the server anew, so that it uses them (docker compose restart, or fedser server)")


def roster(directory: Dir = None, as_json: JsonOutput = False) -> None:
    """Write roster.toml, the sites' keys by name: each site keeps a copy and compares it, for secure sums."""
    from common.secure import pinned_keys
    from server.federation.folder import coordinator_folder, registry
    from server.federation.service import setup

    keys = registry.admitted_keys(setup.read_registry(coordinator_folder.find(directory)))
    digest = pinned_keys.spoken(keys)
    if as_json:
        typer.echo(json.dumps({"sites": keys, "digest": digest}, indent=2))
        return
    typer.echo(pinned_keys.text_of(keys), nl=False)
    typer.echo(
        f"{len(keys)} sites: {', '.join(keys)}; each reads this to the others by telephone before it uses it:", err=True
    )
    typer.echo(digest, err=True)


def status(directory: Dir = None, as_json: JsonOutput = False) -> None:
    """Which sites are registered, online, last seen; when certificates expire."""
    from server.federation.folder import ca, coordinator_folder
    from server.federation.service import status as statuses

    found = coordinator_folder.find(directory)
    now = datetime.now(UTC)
    known = statuses.read(found, now)
    if as_json:
        ends = {name: end.isoformat() for name, end in ca.expiries(found).items()}
        typer.echo(
            json.dumps({"superlink": known["superlink"], "sites": known["sites"], "certificates": ends}, indent=2)
        )
        return
    typer.echo(f"the SuperLink is {known['superlink']}")
    Console().print(statuses.table(known, now))
    for line in _certificates(found):
        typer.echo(line)


def _certificates(folder: Folder) -> list[str]:
    from server.federation.folder import ca

    ends = ca.expiries(folder)
    server, authority = f"{ends['server']:%Y-%m-%d}", f"{ends['ca']:%Y-%m-%d}"
    valid = f"the coordinator's certificate is valid until {server}, the authority until {authority}"
    return [valid, *(f"warning: {line}" for line in ca.warnings(folder, datetime.now(UTC)))]
