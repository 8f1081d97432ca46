from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.encoders.known_encoders import ENCODERS, known
from common.encoders.opening import describe_encoder

SHARED = Path(__file__).parents[3] / "../shared/models"


def test_a_hash_tells_which_it_is() -> None:
    hashed = [own for own in ENCODERS if own.sha256]
    assert hashed
    for own in hashed:
        assert re.fullmatch("[0-9a-f]{64}", own.sha256)
        assert own.of
        assert known(own.sha256.upper()) is own
    assert known("") is None
    assert known("0" * 64) is None


def test_what_heard_an_emotion_corpus_is_marked() -> None:
    marked = {own.name: own.heard for own in ENCODERS if own.heard}
    assert set(marked) == {"emotion2vec base", "audEERING's wav2vec 2.0"}
    assert all("MSP-Podcast" in heard for heard in marked.values())


def test_names_are_apart() -> None:
    assert len({own.name for own in ENCODERS}) == len(ENCODERS)
    assert len({own.sha256 for own in ENCODERS if own.sha256}) == sum(bool(own.sha256) for own in ENCODERS)


@pytest.mark.data
@pytest.mark.skipif(not SHARED.exists(), reason="no public encoders beside the project")
@pytest.mark.parametrize("name", ["tiny", "base"])
def test_the_real_ones_are_known(name: str) -> None:
    told = describe_encoder(SHARED / f"whisper-{name}-encoder")
    own = known(told.sha256)
    assert own is not None
    assert (own.name, own.layers, own.width) == (f"Whisper {name}", told.layers, told.width)
