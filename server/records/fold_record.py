"""``fold.json``: what the ServerApp leaves of a fold, and the parts of it that ``result.json`` has too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedserError
from server.records.json_record import Record, may_lack
from server.records.scores import Calibration, Counts, NoiseCounts, Scores, Validation

Speakers = tuple[str, ...] | Mapping[str, int] | int  # by name; of separate sites how many each has, or how many in all


@dataclass(frozen=True, kw_only=True)
class SiteRound(Record):
    """What a site told in a round; None for what it keeps to itself.

    Attributes:
        examples: recordings, or speakers where these are hidden, that it trained on.
        loss: of its training.
        uar: on its own validation speakers.
        seconds: that it took.
        bytes: of its update.
        epsilon: of this run so far, where a private site tells it while the run goes on.
        epsilon_total: of all its runs so far.
        budget: that these may come to.
        budget_unit: whom both are for.
    """

    examples: int | None
    loss: float | None
    uar: float | None
    seconds: float | None = None
    bytes: int | None = None
    epsilon: float | None = may_lack()
    epsilon_total: float | None = may_lack()
    budget: float | None = may_lack()
    budget_unit: str | None = may_lack()


@dataclass(frozen=True, kw_only=True)
class Round(Record):
    """One round.

    Attributes:
        round: its number, from 1; the rounds of a training again are numbered on.
        seconds: that it took.
        validation: of its model; None without validation speakers.
        sites: by name, of those that took part.
        refit: in a training again, the round that was chosen.
        loss: of the training, over all sites, where updates are added up behind masks.
    """

    round: int
    seconds: float
    validation: Validation | None
    sites: Mapping[str, SiteRound]
    refit: int | None = may_lack()
    loss: float | None = may_lack()


@dataclass(frozen=True, kw_only=True)
class LedgerFigures(Record):
    """A ledger's figures of a run; None for what a site keeps to itself.

    Attributes:
        epsilon: of the run, by the PRV accountant.
        epsilon_total: of all runs on the same people, by a Rényi filter, for each ``budget_unit``.
        epsilon_rdp: of the run, by RDP.
        delta: the chance that more is told.
        noise_multiplier: the noise's deviation over the clipping norm.
        steps: that were noised.
        sample_rate: a unit's chance to be drawn in a step.
        budget: of all runs; None where there is none.
        stopped: whether it ended the run early.
        budget_unit: whom budget and ``epsilon_total`` are for: the unit that is hidden, or one within it.
    """

    epsilon: float | None
    epsilon_total: float | None
    epsilon_rdp: float | None
    delta: float | None
    noise_multiplier: float | None
    steps: int | None
    sample_rate: float | None
    budget: float | None
    stopped: bool
    budget_unit: str | None = may_lack()


@dataclass(frozen=True, kw_only=True)
class AllModels(Record):
    """What all models of a run's folder tell together of the person in the data of whom most was seen.

    Attributes:
        epsilon: of all their noisy steps that this person's data went through, by the PRV accountant; None where a site
            keeps to itself what it spent.
        delta: the chance that more is told.
        models: how many of them this person's data went into.
    """

    epsilon: float | None
    delta: float
    models: int


@dataclass(frozen=True, kw_only=True)
class PrivacyAccount(Record):
    """A fold's account of its privacy, or, with ``all``, a run's.

    Attributes:
        unit: whose contribution is hidden.
        target_epsilon: that was asked for; None where the noise was.
        max_grad_norm: each unit's contribution is clipped to it.
        accountant: of the run's ε.
        insecure_seed: the noise came from the seed, so that nothing is hidden.
        sites: by name; where sites are hidden, of the federation.
        honest: of shared noise, how many sites' parts make it whole; absent where each site adds it whole.
        all: of a run, what its models tell together; a fold's own account has none.
    """

    unit: str
    target_epsilon: float | None
    max_grad_norm: float
    accountant: str
    insecure_seed: bool
    sites: Mapping[str, LedgerFigures]
    honest: int | None = may_lack()
    all: AllModels | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """A model that a fold's own was made from.

    Attributes:
        sha256: of its file.
        private: whether the run that made it was, and those of the models that it was made from, as far as is known.
        speakers: by corpus, whose recordings made it, and the models that it started from itself; None where they are
            not known by name.
        heard: of the fold's test speakers those that are among them; None where that is not known.
    """

    sha256: str
    private: bool
    speakers: Mapping[str, tuple[str, ...]] | None
    heard: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FoldRecord(Record):
    """A finished fold.

    Attributes:
        fold: its name, e.g. ``kfold:5:0``.
        train_speakers: whose recordings trained the model.
        validation_speakers: whose recordings chose the round.
        test_speakers: whose recordings were scored once, at the end.
        privacy: None where nothing was private.
        chosen_round: whose model is kept.
        calibration: of that model, before it is trained again; None without validation speakers who could be asked.
        test: of that model; None where it was not scored.
        rounds: in order.
        refit: of the training again with the validation speakers' recordings; empty where there was none.
        by_speaker: the confusion counts of each test speaker; None where it was not scored, or a site told those of
            its own together.
        strangers: the counts that ``test.stranger`` is of, by its keys: as ``by_speaker``, or of all together; None for
            what the normalisation does not have.
        noise_counts: the counts that ``test.noise`` is of, of each speaker.
        test_sites: of a deployment, by site, recordings that it scored; None where it scored none.
        test_scores: likewise, what it reaches at each site that scored it: ``test`` is as right as each of these.
        seconds: that the fold took.
        started_from: the model that it started from, taken as public; None where it started from a new one.
        taught_by: the model whose answers it learnt beside the labels; None where there was none.
    """

    fold: str
    train_speakers: Speakers
    validation_speakers: Speakers
    test_speakers: Speakers
    privacy: PrivacyAccount | None
    chosen_round: int
    calibration: Calibration | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    test: Scores | None
    rounds: tuple[Round, ...]
    refit: tuple[Round, ...] = may_lack()
    by_speaker: tuple[Counts, ...] | None
    strangers: Mapping[str, tuple[Counts, ...] | None] | None = may_lack()
    noise_counts: NoiseCounts | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    test_sites: Mapping[str, int | None] | None = may_lack()
    test_scores: Mapping[str, Scores] | None = may_lack()
    seconds: float | None = may_lack()
    started_from: Origin | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    taught_by: Origin | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes

    @property
    def scored(self) -> Scores:
        """The score of a fold that has one, as every fold of a simulation does.

        Raises:
            FedserError: it was not scored.
        """
        if self.test is None:
            raise FedserError(f"fold {self.fold} was not scored: it has no test speaker that may be asked")
        return self.test

    @property
    def all_rounds(self) -> tuple[Round, ...]:
        """Those of the training, and those of the training again."""
        return (*self.rounds, *(self.refit or ()))


def read_fold(path: Path) -> FoldRecord:
    """Read a ``fold.json``.

    Raises:
        FedserError: it is not there, or is none; the key is named.
    """
    try:
        return FoldRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        found = error.strerror or "cannot be read"
    except (ValueError, FedserError) as error:
        found = str(error)
    raise FedserError(f"{path} cannot be read ({found}); the run has no result")
