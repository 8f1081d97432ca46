"""Who is held out where nobody says so, and what cannot be planned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from common.data.resident import listing
from common.errors import FedserError
from common.utterance import Utterance
from simulations.engine.planning import default_held_out, plans
from tests.simulations import tiny


def heard(*, session: str | None = None, split: str | None = None, style: str | None = None) -> Utterance:
    return Utterance(
        path=Path("a.wav"), emotion="anger", speaker="1", corpus="own", session=session, split=split, style=style
    )


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        ([heard(), heard(split="test")], "split"),
        ([heard(session="4", style="acted"), heard(session="5", style="acted")], "session:5"),
        ([heard(session="5")], "kfold:5"),
        ([heard(session="4", style="acted")], "kfold:5"),
        ([heard(), heard(split="train")], "kfold:5"),
    ],
)
def test_who_is_held_out_where_nobody_says_so(usable: Sequence[Utterance], expected: str) -> None:
    assert default_held_out(usable) == expected


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"data__folds": "folds"}, "--folds and --held-out both say who is held out; give one"),
        ({"federation__min_sites": 3}, "--min-sites is 3, fold kfold:4:0 has 2 sites"),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path: Path, more: dict[str, object], words: str) -> None:
    config = tiny.config(tiny.write(tmp_path), **more)
    with pytest.raises(FedserError, match=words):
        plans(config, listing(config.data), [])
