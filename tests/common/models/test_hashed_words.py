import zlib

import pytest
import torch

from common.config.text import TextConfig
from common.errors import UsageError
from common.features.extractor import dimension
from common.models.hashed_words import HashedWords, grams, hashed
from tests.common.models.kinds import CLASSES, config_of, model_of


def test_n_grams_are_of_words_in_a_row_and_of_their_characters() -> None:
    found = list(grams("Don\u2019t GO, go!", TextConfig(words=2)))
    assert found == ["don't", "go", "go", "don't go", "go go"]
    own = list(grams("\uff37e a", TextConfig(words=0, characters=3)))
    assert own == ["<we\0", "we>\0", "<a>\0"]
    assert list(grams(" … ", TextConfig(words=2, characters=3))) == []


def test_a_bucket_is_a_checksum_the_same_on_every_machine() -> None:
    """CRC-32 by its check value; the counts of two and one have length 1 together."""
    assert zlib.crc32(b"123456789") == 0xCBF43926
    buckets, values = hashed("go 123456789 go", TextConfig(buckets=1000, words=1))
    assert dict(zip(buckets.tolist(), values.tolist(), strict=True)) == pytest.approx(
        {0xCBF43926 % 1000: 1 / 5**0.5, zlib.crc32(b"go") % 1000: 2 / 5**0.5}
    )


def test_logits_are_the_weights_of_the_buckets_by_hand() -> None:
    own = HashedWords(2, TextConfig(buckets=64, words=1, weight=3.0))
    assert own(["go now"]).tolist() == [[0.0, 0.0]]  # it begins so
    go, now = (zlib.crc32(word) % 64 for word in (b"go", b"now"))
    assert go != now
    with torch.no_grad():
        own.weight[:, go], own.weight[:, now] = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -2.0])
    expected = [[4.5 / 2**0.5, 0.0], [0.0, 0.0], [1.5, -6.0], [0.0, 0.0]]
    for found, row in zip(own(["Go now", None, "NOW!", "later"]).tolist(), expected, strict=True):
        assert found == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("kind", ["bilstm", "linear", "cnn1d"])
def test_what_is_said_is_added_to_the_sound_and_nothing_where_nobody_wrote_it_down(kind: str) -> None:
    plain, both = (model_of(config_of(kind, text__buckets=buckets), shaken=False).eval() for buckets in (0, 32))
    arrays = plain.state_dict()
    assert both.state_dict().keys() - arrays.keys() == {"words.weight"}
    assert all(torch.equal(both.state_dict()[name], values) for name, values in arrays.items())
    torch.nn.init.normal_(both.words.weight)  # type: ignore[union-attr]
    frames, lengths = torch.randn(2, 6, dimension(config_of(kind).features)), torch.tensor([6, 3])
    sound, texts = plain(frames, lengths), ("so loud", None)
    assert torch.equal(plain(frames, lengths, texts), sound)
    assert torch.equal(both(frames, lengths), sound)
    fused = both(frames, lengths, texts)
    assert fused.shape == (2, CLASSES)
    assert torch.equal(fused[1], sound[1])
    torch.testing.assert_close(fused[0] - sound[0], both.words(["so loud"])[0])  # type: ignore[misc]


def test_there_are_n_grams_of_something() -> None:
    with pytest.raises(UsageError, match=r"text.words and text.characters are 0"):
        TextConfig(words=0)
