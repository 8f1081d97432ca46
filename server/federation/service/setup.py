"""Sets up the coordinator's folder: certificates, registry, kits, and what its containers are started from.

Everything may be run again: it adds what is missing, and replaces no key, no kit and no file that people edit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.errors import UsageError
from common.flower import bundle
from common.storage import atomic
from server.federation.folder import ca, kit_builder, registry, site_image
from server.federation.folder.coordinator_folder import SETTINGS, Folder, read
from server.federation.folder.kit_builder import SentCode
from server.federation.service import proxy

COMPOSE = bundle.ROOT / "docker" / "compose.yaml"
CONTAINER_USER = 10000  # who works in the containers where root set up the folder
NEW, KEPT = "new", "kept as it was"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a setup did.

    Attributes:
        sites: each site's kit, in a word.
        sent: the code that the new kits' policies allow.
    """

    sites: Mapping[str, str]
    sent: SentCode


def settle(root: Path, given: Mapping[str, str | int]) -> Folder:
    """The folder, new or as it is; what is given must then be what it says.

    Args:
        root: the folder.
        given: settings of the folder by name, those that were given.

    Raises:
        UsageError: a new folder without a host, or one that was made for another.
    """
    if not (root / SETTINGS).exists():
        if "host" not in given:
            raise UsageError("--host is missing: the name or address by which sites reach this machine")
        folder = Folder(root=root.absolute(), **given)  # type: ignore[arg-type]
        folder.save()
        return folder
    folder = read(root)
    for name, value in given.items():
        if folder.settings()[name] != value:
            raise UsageError(
                f"{root / SETTINGS} says {name} = {folder.settings()[name]!r}, not {value!r}, and so do the sites' "
                "kits; leave the option out, or make another folder"
            )
    return folder


def furnish(folder: Folder, sites: Sequence[str], now: datetime, *, trial_keys: bool) -> Made:
    """Make what a folder lacks, and add sites.

    Args:
        folder: the coordinator's.
        sites: names; those that are there already stay.
        now: certificates that are made are valid from here.
        trial_keys: put ready keys into the kits of sites that have none.
    """
    ca.establish(folder, now)
    for place in (folder.state, folder.runs, folder.held_out, folder.kits):  # recordings, results and trial keys
        place.mkdir(mode=0o700, exist_ok=True)
    atomic.write(folder.coordinator / "nginx.conf", proxy.configuration(proxy.in_container()))
    if not (folder.root / "compose.yaml").exists():
        shutil.copyfile(COMPOSE, folder.root / "compose.yaml")
    if not (folder.root / ".env").exists():
        atomic.write(folder.root / ".env", _environment(folder))
    listing = bundle.listed(bundle.sources())
    image, wheels = site_image.identity(), site_image.wheels()
    sent = SentCode(bundle=bundle.digest(bundle.build()), listing=listing, image=image, wheels=wheels)
    made = {site: _add(folder, site, sent, trial_keys=trial_keys) for site in sites}
    if not folder.registry.exists():
        registry.write(folder.registry, {})
    hand_over(folder)
    return Made(sites=made, sent=sent)


def hand_over(folder: Folder) -> None:
    """Where root works, give what the containers read and write to their user, who is never root."""
    if os.geteuid() != 0:
        return
    shared = (folder.coordinator, folder.state, folder.runs, folder.held_out, folder.registry, folder.root / SETTINGS)
    for place in shared:
        for path in (place, *place.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a server at work removes what it replaces
                os.chown(path, CONTAINER_USER, CONTAINER_USER, follow_symlinks=False)


def read_registry(folder: Folder) -> dict[str, registry.RegisteredSite]:
    """Read the registry, which is empty before the first site."""
    return registry.read(folder.registry) if folder.registry.exists() else {}


def _add(folder: Folder, site: str, sent: SentCode, *, trial_keys: bool) -> str:
    sites = read_registry(folder)
    entry = sites.get(site, registry.RegisteredSite())
    wants_key = trial_keys and entry.public_key is None
    if site in sites and kit_builder.path(folder, site).exists() and not wants_key:
        return KEPT
    files = None
    if wants_key:
        files, public = kit_builder.trial_key(site)
        entry = dataclasses.replace(entry, public_key=public)
    kit_builder.write(folder, site, sent, files)
    registry.write(folder.registry, {**sites, site: entry})
    return f"{NEW}, with a key for a trial" if files else NEW


def _environment(folder: Folder) -> str:
    user, group = os.getuid() or CONTAINER_USER, os.getgid() or CONTAINER_USER
    return f"""\
# What compose.yaml is told. The containers work as the owner of this folder.
FEDSER_UID={user}
FEDSER_GID={group}
FEDSER_PORT={folder.port}
FEDSER_ADMIN_PORT={folder.admin_port}
FEDSER_CONTROL_PORT={folder.superlink_port}
"""
