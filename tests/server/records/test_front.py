from __future__ import annotations

from common.config.settings import Config, flatten
from common.encoders.known_encoders import ENCODERS, heard_corpus
from server.records.front import front_of, said

TINY = next(own for own in ENCODERS if own.name == "Whisper tiny")


def config(sha256: str, layer: str = "2") -> Config:
    values = {"encoder.sha256": sha256, "encoder.layer": layer, "encoder.layers": 4, "encoder.width": 384}
    return Config().with_values(values)


def test_without_an_encoder_nothing_is_said() -> None:
    assert front_of(Config(), "emodb") is None
    assert said(None, {}) == ""


def test_what_is_known_of_it_stands_in_the_result() -> None:
    own = config(TINY.sha256)
    front = front_of(own, "emodb")
    assert front is not None
    assert (front["name"], front["heard_corpus"]) == ("Whisper tiny", False)
    assert "layer 2 of 4" in said(front, flatten(own))
    assert TINY.trained_on in said(front, flatten(own))


def test_of_another_it_is_said_that_nobody_knows() -> None:
    own = config("ab" * 32, "weighted")
    front = front_of(own, "emodb")
    assert front is not None
    assert front["heard_corpus"] is None
    assert "one that fedser does not know" in said(front, flatten(own))
    assert "all its 4 layers, weighed" in said(front, flatten(own))


def test_who_heard_the_corpus_is_in_no_headline() -> None:
    [tuned] = [own for own in ENCODERS if "IEMOCAP" in own.heard]
    assert heard_corpus(tuned, "iemocap")
    assert not heard_corpus(tuned, "emodb")
    front = {"sha256": "ab" * 32, "name": tuned.name, "trained_on": tuned.trained_on, "heard_corpus": True}
    assert "belong in no headline" in said(front, flatten(config("ab" * 32)))
