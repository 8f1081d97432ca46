"""What a site holds in one run, before anything is made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from client.teaching import Targets
from common.data.extraction import Recording
from common.data.places import Places


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a site holds in one run.

    Attributes:
        name: the site's.
        classes: the run's, in the order that numbers them.
        train: recordings to train on.
        validation: recordings that only choose the round.
        test: held-out recordings.
        ledger: the folder of its ledger.
        state: the folder of what it keeps for a strategy from round to round.
        labels: a digest of how its labels become classes.
        max_epsilon: that a run may come to here.
        budget_unit: whom its policy's budget is for; empty where the policy names no unit.
        report_epsilon: whether the server is told what the site spent.
        deployed: whether it is a site of its own, and not one of a simulation on one machine: then the server is told
            in every round too what was spent, for those who watch, and less of held-out speakers.
        one_by_one: whether held-out speakers are counted one by one.
        places: of the units of a private run that hides some of a site's; ``train`` are their recordings, of which
            those that can't be used have no version.
        targets: of a simulation with a teacher, its answers for the recordings to train and to validate on.
        tested: how many recordings are listed as held out, where none of them is looked at.
    """

    name: str
    classes: tuple[str, ...]
    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]
    ledger: Path
    state: Path
    labels: str = ""
    max_epsilon: float = math.inf
    budget_unit: str = ""
    report_epsilon: bool = True
    deployed: bool = False
    one_by_one: bool = True
    places: Places | None = None
    targets: Targets = field(default_factory=dict)
    tested: int = 0
