from collections import Counter

from simulations.synthesis import made_up_words
from simulations.synthesis.layouts import deal
from simulations.synthesis.made_up_words import LEAN, words_of

ITEMS = deal("iemocap", 4, 400)


def test_the_same_recording_has_the_same_words() -> None:
    assert [words_of(item) for item in ITEMS[:40]] == [words_of(item) for item in ITEMS[:40]]
    assert words_of(ITEMS[0]) == "Foke zala zipo dava lamo."
    assert len({words_of(item) for item in ITEMS}) > 390


def test_each_emotion_has_some_words_of_its_own_and_most_in_common() -> None:
    said: dict[str, Counter[str]] = {}
    for item in ITEMS:
        kind = "happiness" if item.emotion == "excitement" else item.emotion
        said.setdefault(kind, Counter()).update(words_of(item).lower().strip(".").split())
    common = set.intersection(*(set(counts) for counts in said.values()))
    assert len(common) == made_up_words.COMMON
    for counts in said.values():
        own = {word: count for word, count in counts.items() if word not in common}
        assert len(own) == made_up_words.LEANING
        assert abs(sum(own.values()) / counts.total() - LEAN) < 0.06
