"""Where a site's two processes find what they need: on one machine, or each in a container of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.deployment.loopback import LOOPBACK
from common.errors import UsageError

PORT = 9094
SUPERVISED = "FEDSER_SUPERVISED"  # set in the environment where a process is to end with the one that started it


@dataclass(frozen=True, kw_only=True)
class StateFolder:
    """The folder in which a site keeps its state; the node and the trainer each use a part of it.

    Attributes:
        folder: which has the parts.
    """

    folder: Path

    @property
    def ledger(self) -> Path:
        """The account of what was spent: the trainer writes it, the node reads it."""
        return self.folder / "ledger"

    @property
    def forgotten(self) -> Path:
        """Who withdrew: ``fedser site forget`` writes it, the trainer reads it."""
        return self.ledger / "forgotten.json"

    @property
    def audit(self) -> Path:
        """The node's log; the trainer sees none of it."""
        return self.folder / "audit" / "audit.jsonl"

    @property
    def number(self) -> Path:
        """The number by which Flower knows the site: the node's alone."""
        return self.folder / "audit" / "node-id"

    @property
    def sums(self) -> Path:
        """Its keys of the runs that are on, and what it did in secure sums: the node's alone."""
        return self.folder / "audit" / "sums"

    @property
    def secret(self) -> Path:
        """What the trainer must know to get work: the node writes it, the trainer reads it."""
        return self.folder / "desk" / "secret"

    @property
    def strategy(self) -> Path:
        """What the site keeps for a run's strategy from round to round: the trainer's alone."""
        return self.folder / "strategy"

    @property
    def cache(self) -> Path:
        """The features of the recordings: the trainer's alone."""
        return self.folder / "cache"

    @property
    def flwr(self) -> Path:
        """Flower's own folder: the trainer's alone."""
        return self.folder / "flwr"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the node listens for its trainer."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port`` or ``host``.

        Raises:
            UsageError: it is neither.
        """
        host, _, port = text.partition(":")
        if not host or (port and not (port.isdecimal() and 0 < int(port) < 2**16)):
            raise UsageError(f"the address is {text!r}, expected HOST:PORT, e.g. {LOOPBACK}:{PORT}")
        return cls(host=host, port=int(port or PORT))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Where the node finds its kit, its state and the recordings, and where it listens.

    Attributes:
        kit: the folder that the coordinator gave: ``site.toml``, ``ca.crt``, ``policy.toml``; and the site's ``key``.
        state: of the site.
        listen: where the trainer reaches the node; None for a free port of this machine's own.
        data: the folder of recordings, as the trainer sees it.
        corpus: what it holds; empty for what ``site.toml`` says.
        label_map: a file, as the trainer sees it; empty likewise.
    """

    kit: Path
    state: StateFolder
    data: str
    listen: Address | None = None
    corpus: str = ""
    label_map: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Where the trainer finds its node and its state.

    Attributes:
        node: where the node listens.
        state: of the site.
    """

    node: Address
    state: StateFolder
