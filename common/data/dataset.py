"""Labelled recordings as tensors, and padded batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from common.data.crops import NO_CROPS, Crops
from common.data.extraction import Recording, Versions
from common.utterance import Utterance

POOL = 8  # batches drawn together and cut by length, so that little of a batch is padding


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some utterances.

    Attributes:
        features: ``(batch, frames, features)`` float32, 0 beyond each length.
        lengths: ``(batch,)`` int64.
        labels: ``(batch,)`` int64.
        index: ``(batch,)`` int64, their places in the dataset.
        targets: ``(batch, classes)`` float32, a teacher's probabilities; None without a teacher.
        texts: what is said in each; None where nobody wrote down any of it.
    """

    features: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    targets: torch.Tensor | None = None
    texts: tuple[str | None, ...] | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        moved: dict[str, Any] = {n: own.to(device) for n, own in vars(self).items() if isinstance(own, torch.Tensor)}
        return replace(self, **moved)

    @property
    def given(self) -> tuple[Any, ...]:
        """What a model is given of it: features and lengths, and what is said where any of it is known."""
        return (self.features, self.lengths, *([] if self.texts is None else [self.texts]))


class SpeechDataset(Dataset[tuple[Versions, int]]):
    """Recordings with their labels' numbers.

    Args:
        recordings: normalised. One without a version keeps its place: ``batch`` can't have it, and ``in_order`` leaves
            it out.
        classes: whose order numbers the labels.
        crops: what an epoch cuts.

    Attributes:
        targets: of each utterance a teacher's probabilities, ``(versions, classes)``; none without a teacher.
    """

    targets: Sequence[torch.Tensor] = ()

    def __init__(self, recordings: Sequence[Recording], classes: Sequence[str], crops: Crops = NO_CROPS) -> None:
        number = {name: i for i, name in enumerate(classes)}
        self.versions = [recording.versions for recording in recordings]
        labels = [number[r.utterance.emotion] if r.versions else 0 for r in recordings]
        self.labels = torch.tensor(labels, dtype=torch.long)  # said, for a site may have nobody to validate with
        self.utterances = [recording.utterance for recording in recordings]
        self.classes, self.crops = tuple(classes), crops

    @property
    def speakers(self) -> list[str]:
        """Whose each recording is."""
        return [utterance.speaker for utterance in self.utterances]

    def __len__(self) -> int:
        return len(self.versions)

    def __getitem__(self, index: int) -> tuple[Versions, int]:
        return self.versions[index], int(self.labels[index])

    def row(self, index: int, version: int) -> torch.Tensor:
        """A version of an utterance, ``(frames, features)``."""
        return self.versions[index][version]

    def batch(
        self, index: torch.Tensor, version: torch.Tensor | None = None, window: torch.Tensor | None = None
    ) -> Batch:
        """Pad the utterances at ``index (batch,)``, each in its ``version (batch,)``, the original by default.

        Of each its ``window (batch, 2)`` is taken, the first row and the one behind the last; by default the whole.
        """
        chosen = [0] * len(index) if version is None else version.tolist()
        rows = [self.row(i, v) for i, v in zip(index.tolist(), chosen, strict=True)]
        if window is not None:
            rows = [row[first:end] for row, (first, end) in zip(rows, window.tolist(), strict=True)]
        texts = tuple(self.utterances[i].text for i in index.tolist())
        return Batch(
            features=pad_sequence(rows, batch_first=True),
            lengths=torch.tensor([len(row) for row in rows]),
            labels=self.labels[index],
            index=index,
            targets=torch.stack([self.targets[i][v] for i, v in zip(index, chosen, strict=True)])
            if self.targets
            else None,
            texts=texts if any(texts) else None,
        )

    def part(self, index: torch.Tensor, labels: torch.Tensor | None = None) -> Self:
        """The recordings at ``index (count,)``, perhaps under other labels ``(count,)``."""
        places = index.tolist()
        own = self.labels[index] if labels is None else labels
        return self._with([self.versions[i] for i in places], own, [self.utterances[i] for i in places])

    def joined(self, other: SpeechDataset) -> Self:
        """These recordings, and another dataset's behind them."""
        labels = torch.cat([self.labels, other.labels])
        return self._with([*self.versions, *other.versions], labels, [*self.utterances, *other.utterances])

    def _empty(self) -> Self:
        """A dataset of the same kind, without recordings."""
        return type(self)([], self.classes, self.crops)

    def _with(self, versions: list[Versions], labels: torch.Tensor, utterances: list[Utterance]) -> Self:
        made = self._empty()
        made.versions, made.labels, made.utterances = versions, labels, utterances
        return made

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One pass in random order, each utterance once, in a version drawn at random, whole or a window of it."""
        shuffled = torch.randperm(len(self), generator=generator)
        for pool in torch.split(shuffled, batch_size * POOL):
            versions = torch.tensor([int(torch.randint(len(self.versions[i]), (), generator=generator)) for i in pool])
            lengths = torch.tensor([len(self.versions[i][v]) for i, v in zip(pool, versions, strict=True)])
            windows = self.crops.draw([self.utterances[i] for i in pool], lengths, generator)
            by_length = torch.argsort(windows[:, 1] - windows[:, 0], stable=True)
            cuts = list(zip(*(torch.split(x[by_length], batch_size) for x in (pool, versions, windows)), strict=True))
            for cut in torch.randperm(len(cuts), generator=generator).tolist():
                yield self.batch(*cuts[cut])

    def in_order(self, batch_size: int = 64) -> Iterator[Batch]:
        """One pass over the originals, by length, so that little of a batch is padding."""
        held = torch.tensor([place for place, versions in enumerate(self.versions) if versions], dtype=torch.long)
        lengths = torch.tensor([len(self.versions[place][0]) for place in held])
        for index in torch.split(held[torch.argsort(lengths, stable=True)], batch_size) if len(held) else ():
            yield self.batch(index)
