from __future__ import annotations

from pathlib import Path

from common.splits.kept_out import keep_out
from common.utterance import Utterance


def said(speaker: str, count: int) -> list[Utterance]:
    return [Utterance(path=Path(f"{speaker}-{i}"), emotion="anger", speaker=speaker, corpus="x") for i in range(count)]


def test_a_fifth_of_each_speaker_is_kept_out_whoever_stands_beside() -> None:
    own = {"a": said("a", 10), "b": said("b", 14), "c": said("c", 4), "d": said("d", 60)}
    alone = {name: keep_out(recordings, [name], 0, "s0") for name, recordings in own.items()}
    assert {name: len(drawn) for name, drawn in alone.items()} == {"a": 2, "b": 2, "c": 0, "d": 12}
    together = keep_out([u for recordings in own.values() for u in recordings], own.keys(), 0, "s0")
    assert together == [u for drawn in alone.values() for u in drawn]
    assert keep_out(own["d"], ["a"], 0, "s0") == []
    others = [keep_out(own["d"], ["d"], 1, "s0"), keep_out(own["d"], ["d"], 0, "s1")]
    assert alone["d"] not in others
