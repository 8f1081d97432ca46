"""What a site is sent: a zip file with the authority's certificate, its settings, its policy and how to start.

Nothing in it is secret, unless it was asked to have a key for a trial.
"""

from __future__ import annotations

import importlib.metadata
import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from common.deployment import site_kit
from common.deployment.site_kit import AUTHORITY, LISTING, POLICY, PRIVATE_KEY, PUBLIC_KEY, SETTINGS
from common.errors import FederationError
from common.flower.bundle import ROOT
from common.storage import atomic
from server.federation.folder import ca
from server.federation.folder.coordinator_folder import Folder

NO_WHEELS = "not known at the coordinator (its packages came from an index), so there is nothing to compare"
TEMPLATES = ROOT / "docker" / "site"


def path(folder: Folder, site: str) -> Path:
    """Where a site's kit lies."""
    return folder.kits / f"{site}.zip"


@dataclass(frozen=True, kw_only=True)
class SentCode:
    """The code that kits allow, and where it comes from.

    Attributes:
        bundle: the SHA-256 of the bundle that their policies allow.
        listing: its files, as ``sha256sum`` writes them.
        image: the ID of the sites' image, as this machine's Docker has it; empty where it has none.
        wheels: the SHA-256 of the list of wheels that the images are made of; empty where they came from an index.
    """

    bundle: str
    listing: str
    image: str = ""
    wheels: str = ""


def write(folder: Folder, site: str, sent: SentCode, key: Mapping[str, bytes] | None = None) -> None:
    """Make a site's kit.

    Args:
        folder: the coordinator's.
        site: its name.
        sent: the code that it allows.
        key: files of a ready key (``trial_key``); the kit is then as secret as the key.

    Raises:
        FederationError: this installation lacks the kit's templates.
    """
    _save(path(folder, site), {**_files(folder, site, sent), **(key or {})})


def trial_key(site: str) -> tuple[dict[str, bytes], str]:
    """A site's key, which it should make itself: its two files, and the public key as registered."""
    key = site_kit.make_key()
    return {PRIVATE_KEY: key.private, PUBLIC_KEY: f"{key.public} {site}\n".encode()}, key.public


def replace_authority(folder: Folder) -> list[str]:
    """Put the authority's certificate anew into every kit, and leave all else in it.

    Returns:
        The sites whose kits there are.
    """
    kits = sorted(folder.kits.glob("*.zip"))
    for kit in kits:
        with zipfile.ZipFile(kit) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        _save(kit, {**files, AUTHORITY: folder.trusted.read_bytes()})
    return [kit.stem for kit in kits]


def _files(folder: Folder, site: str, sent: SentCode) -> dict[str, bytes]:
    authority = ca.load(folder.trusted)
    texts = {
        "@SITE@": site,
        "@ADDRESS@": folder.address,
        "@HOST@": folder.host,
        "@PORT@": str(folder.port),
        "@BUNDLE@": sent.bundle,
        "@CLASSES@": ", ".join(f'"{name}"' for name in folder.class_names),
        "@VERSION@": importlib.metadata.version("fedser"),
        "@AUTHORITY@": authority.fingerprint(hashes.SHA256()).hex(":").upper(),
        "@EXPIRY@": f"{authority.not_valid_after_utc:%Y-%m-%d}",
        "@IMAGE@": sent.image or "ask the coordinator",
        "@WHEELS@": f"`{sent.wheels}`" if sent.wheels else NO_WHEELS,
        **folder.form.texts(),
    }
    files = {name: _filled(TEMPLATES / name, texts) for name in ("README.md", "compose.yaml", POLICY)}
    return {
        **files,
        AUTHORITY: folder.trusted.read_bytes(),
        LISTING: sent.listing.encode(),
        SETTINGS: site_kit.settings_of(site, folder.address).encode(),
    }


def _filled(template: Path, texts: Mapping[str, str]) -> bytes:
    try:
        text = template.read_text(encoding="utf-8")
    except OSError as error:
        raise FederationError(
            f"{template} cannot be read ({error.strerror}); kits are made from a whole copy of the project"
        ) from None
    for mark, value in texts.items():
        text = text.replace(mark, value)
    return text.encode()


def _save(kit: Path, files: Mapping[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, time.localtime()[:6])
            entry.create_system = 3  # Unix, so that the modes count
            entry.external_attr = (0o100600 if name == PRIVATE_KEY else 0o100644) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    atomic.write(kit, buffer.getvalue(), private=PRIVATE_KEY in files)
