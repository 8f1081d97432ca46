"""The coordinator's folder: where each thing lies in it, and its own settings, ``federation.toml``."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from common.config.toml_file import read_table
from common.deployment.site_kit import SITE_NAME
from common.errors import FederationError, UsageError
from common.storage import atomic
from common.utterance import emotion_name
from common.validate import in_range, one_of
from server.federation.folder.kit_forms import OPEN, STRICT, KitForm

SETTINGS = "federation.toml"
DEFAULT = Path("federation")
_EXPECTED = {str: "a text", int: "a number", bool: "true or false"}
_CLASS = re.compile(r"[^\s\"\\]{1,40}")  # it is written into policy.toml
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A coordinator's folder and its settings.

    Attributes:
        root: the folder.
        host: the name or address by which sites reach the coordinator.
        port: where they reach it; the proxy's.
        admin_port: the admin page's, on loopback.
        superlink_port: of Flower's SuperLink, on loopback; the commands of this machine reach it there.
        classes: the emotions that the kits' policies name, with commas; empty for those of each site's corpus.
        open_kits: whether kits allow runs without privacy too.
    """

    root: Path
    host: str
    port: int = 8443
    admin_port: int = 8080
    superlink_port: int = 8000
    classes: str = ""
    open_kits: bool = False

    def __post_init__(self) -> None:
        check_host(self.host)
        names = self.class_names
        odd = [name for name in names if not _CLASS.fullmatch(name)]
        if odd or (self.classes and not 1 < len(names) == len(set(names))):
            raise UsageError(f"classes is {self.classes!r}, expected at least 2 emotions with commas, each once")
        ports = {"port": self.port, "admin_port": self.admin_port, "superlink_port": self.superlink_port}
        for name, value in ports.items():
            in_range(name, value, 1, 65535)
        if len(set(ports.values())) < len(ports):
            raise UsageError(f"two of {', '.join(ports)} are the same; give each a port of its own")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The emotions that the kits' policies name."""
        return tuple(emotion_name(name) for name in self.classes.replace(",", " ").split())

    @property
    def form(self) -> KitForm:
        """What the kits' policies allow."""
        return OPEN if self.open_kits else STRICT

    def settings(self) -> dict[str, str | int]:
        """What ``federation.toml`` holds."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "root"}

    def save(self) -> None:
        """Write ``federation.toml``."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings().items()]
        atomic.write(
            self.root / SETTINGS, "\n".join(["# The coordinator's settings; kits carry them too.", *lines, ""])
        )

    @property
    def ca_key(self) -> Path:
        """The authority's key, mode 600, in no container."""
        return self.root / "ca" / "ca.key"

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate."""
        return self.root / "ca" / "ca.crt"

    @property
    def coordinator(self) -> Path:
        """What the SuperLink and the proxy read: certificates, the server's key, the proxy's configuration."""
        return self.root / "coordinator"

    @property
    def server_key(self) -> Path:
        """The key of the coordinator's certificate, mode 600."""
        return self.coordinator / "server.key"

    @property
    def server_certificate(self) -> Path:
        """The coordinator's certificate."""
        return self.coordinator / "server.crt"

    @property
    def trusted(self) -> Path:
        """The authority's certificate again, beside the coordinator's own, for those that don't see ``ca/``."""
        return self.coordinator / "ca.crt"

    @property
    def registry(self) -> Path:
        """Which sites there are and which keys they may come with."""
        return self.root / "sites.json"

    @property
    def kits(self) -> Path:
        """What the sites are sent, a zip file each."""
        return self.root / "sites"

    @property
    def state(self) -> Path:
        """What the server keeps: the SuperLink's database, ``status.json``, Flower's files."""
        return self.root / "state"

    @property
    def status(self) -> Path:
        """What the server last knew of itself and of the sites."""
        return self.state / "status.json"

    @property
    def runs(self) -> Path:
        """What runs leave, a folder each."""
        return self.root / "runs"

    @property
    def held_out(self) -> Path:
        """The coordinator's own recordings, which no site trains on."""
        return self.root / "held-out"

    @property
    def superlink(self) -> str:
        """The SuperLink's address for the commands of this machine."""
        return f"127.0.0.1:{self.superlink_port}"

    @property
    def address(self) -> str:
        """The address for sites."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find(given: Path | None) -> Folder:
    """The folder that a command works on: the one given, else the current one, else ``./federation``.

    Raises:
        UsageError: there is none, or its settings are broken.
    """
    places = [given] if given else [Path(), DEFAULT]
    for place in places:
        if (place / SETTINGS).is_file():
            return read(place)
    raise UsageError(
        f"no {SETTINGS} in {' or '.join(str(place.absolute()) for place in places)}; name the coordinator's folder "
        "with --dir, or make one with fedser federation init"
    )


def read(root: Path) -> Folder:
    """Read a folder's settings.

    Raises:
        UsageError: they are broken.
    """
    path = root / SETTINGS
    settings = read_table(path, unreadable=FederationError)
    kinds = {name: kind for name, kind in get_type_hints(Folder).items() if name != "root"}
    for name, value in settings.items():
        one_of(f"a setting of {path}", name, kinds)
        if type(value) is not kinds[name]:
            raise UsageError(f"{path}: {name} is {value!r}, expected {_EXPECTED[kinds[name]]}")
    if "host" not in settings:
        raise UsageError(f"{path} has no host; add the name by which sites reach the coordinator")
    return Folder(root=root.absolute(), **settings)


def check_host(host: str) -> None:
    """Refuse what is neither a host name nor an address.

    Raises:
        UsageError: it has a port, a scheme, or other characters.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host):
            raise UsageError(
                f"host is {host!r}, expected a name such as fl.example.org or an address, without https:// and port"
            ) from None


def check_site(name: str) -> None:
    """Refuse a site's name that could not be a file's, a host's and a label's.

    Raises:
        UsageError: it's too short or too long, or has other characters.
    """
    if not SITE_NAME.fullmatch(name):
        raise UsageError(f"a site is called {name!r}, expected 2 to 63 lowercase letters, digits and '-' between them")
