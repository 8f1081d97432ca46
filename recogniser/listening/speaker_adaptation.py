"""How a model is told of a speaker whom it hears: after what was heard before, after all of it, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.running_sums import Frames, Scaling, Sums, adapted

ADAPT = ("recording", "running", "none")

Speakers = dict[str | None, Sums]


class Adaptation:
    """Of one channel's speakers.

    What a model does with it is what it learnt: one that was trained with ``normalise=running`` takes a mean of its
    prior and the speaker's sums, one of ``speaker`` the speaker's alone where all of the recording is known. All others
    are scaled as ``fedser predict`` does: by the training speakers' scaling, or by each stretch itself.

    Args:
        model: that is to adapt.
        mode: one of ``ADAPT``.
        known: what was heard of each speaker before the stream; with ``recording``, in all of it.
    """

    def __init__(self, model: ExportedModel, mode: str, known: Mapping[str | None, Sums] | None = None) -> None:
        self._model, self._mode = model, mode
        self.heard: Speakers = dict(known or {})
        self._scalings: dict[str | None, Scaling] = {}  # by what was heard so far

    def scaling(self, speaker: str | None, frames: Frames) -> tuple[Scaling, float]:
        """The scaling of a speaker's stretch ``(frames, columns)``, and the seconds of theirs that it is made of."""
        heard = self.heard.get(speaker)
        if heard is None or not self._adapts:
            alone = Sums.of(self._model.layout.rows(frames)).scaling() if self._model.itself else self._model.prior
            return alone, 0.0
        if speaker not in self._scalings:
            self._scalings[speaker] = adapted(self._model.prior, heard) if self._listens else heard.scaling()
        return self._scalings[speaker], heard.rows * self._model.layout.stack * self._model.hop_ms / 1000

    def hear(self, speaker: str | None, frames: Frames) -> None:
        """Add a segment's rows of speech to what was heard of a speaker; with ``recording`` all is known already."""
        if self._mode == "running":
            self.learn(speaker, frames)

    def learn(self, speaker: str | None, frames: Frames) -> None:
        """Add a segment's rows of speech to what was heard of a speaker."""
        layout = self._model.layout
        rows = layout.rows(frames)
        own = Sums.of(layout.speech(rows) if self._listens else rows)
        self._scalings.pop(speaker, None)
        self.heard[speaker] = self.heard.get(speaker, Sums.none(layout.features)) + own

    @property
    def learns(self) -> bool:
        """Whether what it hears as it goes makes it another."""
        return self._mode == "running" and self._adapts

    @property
    def _listens(self) -> bool:
        return self._model.said.normalise == "running"

    @property
    def _adapts(self) -> bool:
        return self._mode != "none" and self._model.adapts(to_all=self._mode == "recording")
