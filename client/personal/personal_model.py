"""A site's own model: the run's with the site's class prior, fine-tuned, or both; or the run's, unless one is better.

It is made by the site after the run, of its own recordings alone, and nothing of it is sent. No noise is added:
whatever the run promised its people, the site's own model promises them nothing, and it stays where they are.

Better is what recognises more of the judges' recordings than the run's model does and takes less loss, and best what
takes least: how many are recognised, of as few as there are, is luck between one epoch and the next. They are taken as
they come, in the site's own mix of classes, where a rare one counts for little. Who judges should be a stranger to the
run's model. So where the run trained once more with its validation speakers, the candidates are made of the model
before that, and what wins is made again of the run's last model and of all recordings, as the run itself is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from client.personal.class_prior import log_prior, with_prior
from client.personal.comparison import Comparison
from client.personal.fine_tuning import MOST_EPOCHS, fine_tune
from client.personal.judges import Bench, bench_of
from client.site import Site
from client.site_datasets import SiteDatasets, precomputed
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.learning.confidence import Confidence, outputs
from common.learning.saved_model import Arrays, SavedModel
from common.models.architectures import build_model

GLOBAL, PRIOR, FINE_TUNED, BOTH = "global", "prior", "finetune", "both"
HOW = (PRIOR, FINE_TUNED, BOTH)  # what may be asked for: the last tries either, and the two together
PATIENCE = 5  # epochs without a better model, after which no more are made
FEWEST = 20  # recordings: a temperature of fewer is luck
NOBODY = "nobody: one recording can't both train and judge"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that may become the site's own.

    Attributes:
        name: ``global``, ``prior``, ``finetune`` or ``both``.
        epochs: of fine-tuning.
        arrays: the model.
        logits: ``(recordings, classes)``, what it makes of the judges' recordings, at the run's temperature.
        loss: the mean cross-entropy of these.
        right: how many of them it recognises.
    """

    name: str
    epochs: int
    arrays: Arrays
    logits: Tensor
    loss: float
    right: int


@dataclass(frozen=True, kw_only=True)
class PersonalModel:
    """A site's own model, and how it was chosen.

    Attributes:
        chosen: which candidate it is; ``global`` is the run's model.
        epochs: of fine-tuning.
        arrays: the model.
        temperature: by which its logits are divided.
        unsure: as ``SavedModel`` has it.
        told: who judged, for people.
        seen: whether the run's model was trained on those who judged, and is thought better of than it should be.
        judged: what both made of the judges' recordings; None where nobody could judge.
    """

    chosen: str
    epochs: int
    arrays: Arrays
    temperature: float
    unsure: Mapping[str, float] | None
    told: str
    seen: bool
    judged: Comparison | None


def make_personal(site: Site, saved: SavedModel, unseen: SavedModel | None, how: str) -> PersonalModel:
    """Try what ``how`` names, and make the best.

    Args:
        site: as it took part in the run.
        saved: the run's model.
        unseen: the model of the chosen round, before the run trained once more with the validation speakers; None where
            it did not, or where that model is not there.
        how: one of ``HOW``.

    Raises:
        FedserError: the site's recordings have other features than the model.
    """
    strangers = unseen is not None or not site.config.refits
    bench = bench_of(site.holding, site.config, strangers=strangers)
    kept = PersonalModel(
        chosen=GLOBAL,
        epochs=0,
        arrays=arrays_of(saved),
        temperature=saved.temperature,
        unsure=saved.unsure,
        told=bench.told if bench else NOBODY,
        seen=bool(bench and bench.seen),
        judged=None,
    )
    return kept if bench is None else _Workshop(site, saved, bench).make(how, kept, unseen)


def arrays_of(saved: SavedModel) -> Arrays:
    """A model's weights."""
    return {name: tensor.numpy().copy() for name, tensor in saved.model.state_dict().items()}


class _Workshop:
    """Where candidates are made of a site's recordings."""

    def __init__(self, site: Site, saved: SavedModel, bench: Bench) -> None:
        config = site.config
        self._site, self._saved, self._bench = site, saved, bench
        self._model = build_model(site.features, len(site.classes), config, precomputed=precomputed(config))
        self._ready = SiteDatasets(config, bench.holding, site.features, self._model.statistics)
        self._judges = self._part("validation")

    def make(self, how: str, kept: PersonalModel, unseen: SavedModel | None) -> PersonalModel:
        first, best = self._choose(arrays_of(self._saved if unseen is None or self._bench.seen else unseen), how)
        _, labels = outputs(self._model, self._judges)
        kept = replace(kept, judged=Comparison.of(first.logits, best.logits, labels))
        if best.name == GLOBAL:
            return kept
        temperature, unsure = self._calibrated(best)
        made = replace(kept, chosen=best.name, epochs=best.epochs, temperature=temperature, unsure=unsure)
        return replace(made, arrays=self._made_again(best) if self._bench.rejoins else best.arrays)

    def _choose(self, arrays: Arrays, how: str) -> tuple[Candidate, Candidate]:
        """The model that came, and the best of what is made of it, which may be that one."""
        candidates = self._candidates(arrays, how)
        best = first = next(candidates)
        for own in candidates:
            if own.right > first.right and own.loss < best.loss:
                best = own
            elif own.epochs - best.epochs >= PATIENCE:
                break
        return first, best

    def _candidates(self, arrays: Arrays, how: str) -> Iterator[Candidate]:
        train = self._part("train")
        prior = None if how == FINE_TUNED else log_prior(train.labels, len(self._site.classes))
        self._load(arrays)
        yield from self._both(0, prior)
        if how != PRIOR:
            for epoch in self._fine_tuned(train, MOST_EPOCHS):
                yield from self._both(epoch, prior)

    def _both(self, epoch: int, prior: Tensor | None) -> Iterator[Candidate]:
        """The model as it is, and with the prior."""
        logits, labels = outputs(self._model, self._judges)
        logits, arrays = logits / self._saved.temperature, self._arrays()
        yield _candidate(FINE_TUNED if epoch else GLOBAL, epoch, arrays, logits, labels)
        if prior is not None:
            arrays = with_prior(arrays, prior, self._saved.temperature)
            yield _candidate(BOTH if epoch else PRIOR, epoch, arrays, logits + prior, labels)

    def _made_again(self, best: Candidate) -> Arrays:
        """The same of the run's last model, with those who judged."""
        whole = self._part("all")
        self._load(arrays_of(self._saved))
        for _ in self._fine_tuned(whole, best.epochs):
            pass
        if best.name == FINE_TUNED:
            return self._arrays()
        return with_prior(self._arrays(), log_prior(whole.labels, len(self._site.classes)), self._saved.temperature)

    def _fine_tuned(self, data: SpeechDataset, epochs: int) -> Iterator[int]:
        return fine_tune(self._model, data, self._site.config, self._site.name, epochs)

    def _calibrated(self, best: Candidate) -> tuple[float, Mapping[str, float] | None]:
        """As the run's own model is; where the judges are no strangers, or few, that one's temperature stays."""
        if self._bench.seen or len(self._judges) < FEWEST:
            return self._saved.temperature, None
        self._load(best.arrays)
        lone = self._ready.lone_validation(self._saved.scaling)
        found = Confidence.of(*outputs(self._model, lone))
        return found.temperature(), found.unsure()

    def _part(self, name: str) -> SpeechDataset:
        """A part of the recordings, without the empty places that a private run keeps."""
        own = self._ready.dataset(name, self._saved.scaling)
        if all(own.versions):
            return own
        pairs = zip(own.utterances, own.versions, strict=True)
        return SpeechDataset([Recording(utterance=u, versions=v) for u, v in pairs if v], own.classes, own.crops)

    def _load(self, arrays: Arrays) -> None:
        self._model.load_state_dict({name: torch.from_numpy(own.copy()) for name, own in arrays.items()})

    def _arrays(self) -> Arrays:
        return {name: tensor.cpu().numpy().copy() for name, tensor in self._model.state_dict().items()}


def _candidate(name: str, epochs: int, arrays: Arrays, logits: Tensor, labels: Tensor) -> Candidate:
    loss, right = float(nn.functional.cross_entropy(logits, labels)), int((logits.argmax(1) == labels).sum())
    return Candidate(name=name, epochs=epochs, arrays=arrays, logits=logits, loss=loss, right=right)
