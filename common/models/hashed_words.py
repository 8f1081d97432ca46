"""What is said, beside how it is said: counts of hashed n-grams, and a linear model of them.

Each n-gram's bucket is its checksum (Weinberger et al., ICML 2009), the same on every machine: there is no list of
words that sites would have to agree on, and none leaves. The model's logits are added to those of the sound, which are
its log-probabilities but for a constant: late fusion.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from common.config.text import TextConfig

_WORD = re.compile(r"\w+(?:'\w+)*")

Bag = tuple[Tensor, Tensor]  # which buckets, and how much is in each


def grams(text: str, config: TextConfig) -> Iterator[str]:
    """The n-grams of a text, whatever its case, its punctuation and its form in Unicode.

    Those of words come first, from single ones to ``config.words`` in a row; then of each word, between ``<`` and
    ``>``, every ``config.characters`` in a row, as fastText has them (Bojanowski et al. 2017), or all of it where it is
    shorter.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    said = _WORD.findall(plain)
    for length in range(1, config.words + 1):
        for first in range(len(said) - length + 1):
            yield " ".join(said[first : first + length])
    for word in [f"<{word}>" for word in said if config.characters]:
        for first in range(max(1, len(word) - config.characters + 1)):
            yield f"{word[first : first + config.characters]}\0"  # which no word has


@lru_cache(maxsize=1 << 14)
def hashed(text: str, config: TextConfig) -> Bag:
    """A text's buckets, ``(filled,)`` int64, and the count in each, ``(filled,)`` float32, of length 1 together."""
    counts = Counter(zlib.crc32(gram.encode("utf-8", "replace")) % config.buckets for gram in grams(text, config))
    values = torch.tensor(list(counts.values()), dtype=torch.float32)
    return torch.tensor(list(counts), dtype=torch.long), nn.functional.normalize(values, dim=0)


class HashedWords(nn.Module):
    """A linear model of what is said, without a bias: what nobody wrote down adds nothing to any class.

    It begins at 0, so that the model of the sound beside it begins as it does alone.

    Args:
        classes: how many emotions.
        config: how texts are hashed, and how much they count.
    """

    def __init__(self, classes: int, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(classes, config.buckets))

    def bags(self, texts: Sequence[str | None]) -> Tensor:
        """``(texts, buckets)`` float32; 0 for a text that there is not."""
        found = torch.zeros(len(texts), self.config.buckets)
        for row, text in zip(found, texts, strict=True):
            if text:
                buckets, values = hashed(text, self.config)
                row[buckets] = values
        return found

    def forward(self, texts: Sequence[str | None]) -> Tensor:
        """Logits ``(texts, classes)``, weighed by ``text.weight``."""
        bags = self.bags(texts).to(self.weight.device)
        return self.config.weight * nn.functional.linear(bags, self.weight)
