"""What the sites' own models of a simulation are worth, as ``result.json`` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.records.json_record import Record


@dataclass(frozen=True, kw_only=True)
class PersonalScores(Record):
    """What a model reaches on some recordings of one site.

    Attributes:
        uar: unweighted average recall.
        wa: the share that is recognised, in the site's own mix of classes.
        count: how many recordings there are.
    """

    uar: float
    wa: float
    count: int


Both = Mapping[str, PersonalScores]  # ``global``, the run's model, and ``personal``, the site's own


@dataclass(frozen=True, kw_only=True)
class PersonalSite(Record):
    """A site's own model.

    Attributes:
        chosen: ``global`` where the run's model is kept, else ``prior``, ``finetune`` or ``both``.
        epochs: of fine-tuning.
        judges: who chose it, in words.
        seen: whether the run's model was trained on those who chose.
        gain_ci95: of the difference of their ``wa``, a bootstrap of their recordings; None of fewer than five.
        validation: what both reach on those who chose; None where nobody could.
        unheard_speakers: on the held-out speakers whom the manifest puts at the site; None where it has none.
        new_recordings: on what was kept out of its training speakers' recordings; None where nothing was.
    """

    chosen: str
    epochs: int
    judges: str
    seen: bool
    gain_ci95: tuple[float, ...] | None
    validation: Both | None
    unheard_speakers: Both | None
    new_recordings: Both | None
