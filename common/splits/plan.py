"""The plan of one fold: which speakers train where, which validate, which are held out. Written before round 1."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedserError, SplitError
from common.splits.sites import SiteSplit
from common.storage import atomic


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One fold's split.

    Attributes:
        fold: its name, e.g. ``kfold:5:0``.
        classes: the emotions, in the order that numbers them.
        test: speakers that the server scores at the end; empty where the sites hold them.
        sites: sorted by name; none in a deployment, where each site splits its own speakers.
        quorum: how many sites must be there before round 1; the plan's own sites where it is 0.
        skipped: recordings that take no part, by ``Utterance.name``: they cannot be used, or are kept out.
        kept_out: those of them that can be used: training speakers' own, on which the sites' own models are scored.
        synthetic: whether the speech is made up.
    """

    fold: str
    classes: tuple[str, ...]
    test: tuple[str, ...]
    sites: tuple[SiteSplit, ...]
    skipped: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    synthetic: bool = False
    quorum: int = 0

    def __post_init__(self) -> None:
        own = [(f"{part} of {s.name}", getattr(s, part)) for s in self.sites for part in ("train", "validation")]
        refuse_shared(f"fold {self.fold}", {**dict(own), "test": self.test_speakers})

    @property
    def expected(self) -> int:
        """How many sites must be there before round 1."""
        return self.quorum or len(self.sites)

    @property
    def train_speakers(self) -> list[str]:
        """Whose recordings the sites train on."""
        return sorted(speaker for site in self.sites for speaker in site.train)

    @property
    def validation_speakers(self) -> list[str]:
        """Whose recordings only choose the round."""
        return sorted(speaker for site in self.sites for speaker in site.validation)

    @property
    def test_speakers(self) -> list[str]:
        """Whose recordings are scored once, at the end, wherever they lie."""
        return sorted([*self.test, *(speaker for site in self.sites for speaker in site.test)])

    def write(self, path: Path) -> None:
        """Write it as JSON; where nothing is kept out it says nothing of that."""
        content = {name: own for name, own in dataclasses.asdict(self).items() if own or name != "kept_out"}
        atomic.write(path, json.dumps(content, indent=1))


def refuse_shared(where: str, parts: Mapping[str, Collection[str]]) -> None:
    """Refuse a speaker in two parts: a model would be chosen, or scored, on people whom it was trained on.

    Args:
        where: the parts are, for the message.
        parts: the speakers of each, by its name.

    Raises:
        SplitError: somebody is in two.
    """
    found: dict[str, str] = {}
    for part, speakers in parts.items():
        for speaker in set(speakers):
            if (other := found.setdefault(speaker, part)) != part:
                raise SplitError(
                    f"{where}: speaker {speaker} is in {other} and in {part}, expected in one part alone; deal whole "
                    "speakers"
                )


def read(path: Path) -> Plan:
    """Read a plan.

    Raises:
        FedserError: the file is missing or is no plan.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sites = tuple(
            SiteSplit(name=s["name"], **{k: tuple(s[k]) for k in ("train", "validation", "test")})
            for s in content["sites"]
        )
        lists = {key: tuple(content[key]) for key in ("classes", "test", "skipped")}
        lists["kept_out"] = tuple(content.get("kept_out", ()))
        return Plan(
            fold=content["fold"], sites=sites, synthetic=content["synthetic"], quorum=content["quorum"], **lists
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedserError(f"{path} is no plan of a fold ({type(error).__name__}); start the run anew") from None
