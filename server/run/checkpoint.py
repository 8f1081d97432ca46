"""The state of a run after a round, in one safetensors file: enough to go on as if it had never stopped.

Random numbers depend on (seed, round, site) alone, so no generator's state is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from common.errors import FederationError
from common.storage import atomic
from common.storage.openable import openable

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(kw_only=True)
class State:
    """A federated run between two rounds.

    Attributes:
        round: the last that is complete.
        arrays: the global model.
        scaling: mean and deviation of the training sites' features.
        class_weights: of the classes, by the counts of all sites, where the run pools them; else empty.
        strategy: what the strategy remembers.
        best: the chosen model so far, where there are validation speakers.
        best_round: when it was made; 0 where none was chosen.
        history: an entry a round, as ``result.json`` lists them.
        refit: an entry a round of the training that follows with the validation speakers, likewise.
        run: the run's name, in the ledgers of a private one, and in what sites keep for a strategy; empty otherwise.
        heads: by site, how far its ledger was when it last answered: entries, and the last one's hash.
        audits: likewise, of its audit log.
        confidence: how sure the chosen model is of the validation speakers, in sum over the sites, as
            ``server.rounds.temperature`` keeps it; None where it was not asked, empty where nobody told.
        norm: the median L2 norm of the last round's sound updates; 0 before round 1.
        stopped: sites whose budget is spent.
        kept: of a simulation, by site, the fingerprint of what it keeps for the strategy; empty where it keeps nothing.
    """

    round: int = 0
    arrays: Arrays
    scaling: Arrays
    class_weights: Arrays = field(default_factory=dict)
    strategy: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)
    best_round: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    refit: list[dict[str, Any]] = field(default_factory=list)
    run: str = ""
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    audits: dict[str, tuple[int, str]] = field(default_factory=dict)
    confidence: dict[str, Any] | None = None
    norm: float = 0.0
    stopped: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def last_taken(self, site: str, stage: str, rounds: int) -> int:
        """The number in a pass of the round whose update of a site was taken last; 0 where none was.

        Args:
            site: its name.
            stage: the pass, as ``FederationConfig.pass_round`` has it.
            rounds: of the first pass, beyond which the second's are numbered on.
        """
        entries, before = (self.refit, rounds) if stage == "all" else (self.history, 0)
        return max((entry["round"] - before for entry in entries if site in entry["sites"]), default=0)


_GROUPS = ("arrays", "scaling", "class_weights", "strategy", "best")
_ABOUT = (
    *("round", "best_round", "history", "refit", "confidence"),
    *("run", "heads", "audits", "norm", "stopped", "kept"),
)


def save(state: State, path: Path) -> None:
    """Write a checkpoint in place of the last one."""
    tensors = {
        f"{group}/{name}": np.ascontiguousarray(value)
        for group in _GROUPS
        for name, value in getattr(state, group).items()
    }
    about = {name: getattr(state, name) for name in _ABOUT}
    atomic.write(path, safetensors.numpy.save(tensors, metadata={"state": json.dumps(about)}), durable=True)


def load(path: Path) -> State:
    """Read a checkpoint.

    Raises:
        FederationError: the file is broken, or of another version.
    """
    try:
        with openable(path) as plain, safetensors.safe_open(plain, framework="np") as file:
            kept = json.loads(file.metadata()["state"])
            if kept.keys() != set(_ABOUT):
                raise FederationError(
                    f"{path} is of another version of fedser, whose runs this one can't go on with; go on with that "
                    "one, or start the run anew"
                )
            known: dict[str, Any] = {name: kept[name] for name in _ABOUT}
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        kind = type(error).__name__
        raise FederationError(f"{path} is no checkpoint ({kind}); start anew with --overwrite") from None
    groups: dict[str, Any] = {
        group: {
            name.removeprefix(f"{group}/"): value for name, value in tensors.items() if name.startswith(f"{group}/")
        }
        for group in _GROUPS
    }
    return State(**known, **groups)
