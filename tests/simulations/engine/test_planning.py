"""Who is held out where nobody says so, and what cannot be planned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from common.data.resident import listing
from common.errors import FedserError, SplitError
from common.utterance import Utterance
from simulations.engine.planning import default_held_out, plans
from tests.simulations import tiny


def heard(
    *, session: str | None = None, split: str | None = None, style: str | None = None, speaker: str = "1"
) -> Utterance:
    return Utterance(
        path=Path("a.wav"), emotion="anger", speaker=speaker, corpus="own", session=session, split=split, style=style
    )


def test_a_quorum_does_nothing_on_one_machine_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tiny.write(tmp_path / "corpus")
    for quorum, said in ((1.0, 0), (0.5, 1)):
        config = tiny.config(manifest, federation__quorum=quorum)
        plans(config, listing(config.data), [])
        assert sum("--quorum does nothing here" in line for line in caplog.messages) == said


SIX = [heard(speaker=speaker) for speaker in "abcdef"]


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        ([heard(), heard(split="test")], "split"),
        ([heard(session="4", style="acted"), heard(session="5", style="acted")], "session:5"),
        ([heard(session="5"), *SIX], "kfold:5"),
        ([heard(session="4", style="acted"), *SIX], "kfold:5"),
        ([heard(), heard(split="train"), *SIX], "kfold:5"),
        (SIX[:5], "kfold:5"),
        (SIX[:4] * 2, "kfold:4"),
        (SIX[:3], "kfold:3"),
        (SIX[:2], "kfold:2"),
        (SIX[:1], "kfold:2"),  # which says that two are needed
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


@pytest.mark.parametrize("speakers", [2, 3, 4])
def test_few_speakers_are_held_out_in_turn_by_default_and_what_does_not_fit_says_what_would(
    tmp_path: Path, speakers: int
) -> None:
    manifest = tiny.write(tmp_path, speakers=speakers)
    config = tiny.config(manifest, data__held_out="", data__sites="1")
    found = plans(config, listing(config.data), [])
    assert [plan.fold for plan in found] == [f"kfold:{speakers}:{i}" for i in range(speakers)]
    assert sorted(speaker for plan in found for speaker in plan.test) == [f"{i:02}" for i in range(speakers)]
    for more, todo in (
        ({"data__held_out": "kfold:5"}, f"; give --held-out kfold:{speakers}, or add"),
        ({"data__held_out": "", "data__sites": "4"}, f"; give --sites {speakers - 1} or fewer"),
    ):
        wrong = tiny.config(manifest, **more)
        with pytest.raises(SplitError, match=todo):
            plans(wrong, listing(wrong.data), [])
