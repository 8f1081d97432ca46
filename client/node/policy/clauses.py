"""The sections of a site's policy: what each allows, and why it refuses a run, a line each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from client.node.policy.bounds import DEFAULT_BOUNDS, Bound, Hours, check_bound, outside
from common import protocol
from common.config.settings import Config, DataConfig, EncoderConfig, PrivacyConfig
from common.config.units import UNITS
from common.corpora.catalogue import CORPORA
from common.curation.selection import STYLES
from common.errors import UsageError
from common.messages import schema
from common.messages.fields import is_sha256, short
from common.utterance import emotion_name
from common.validate import in_range, one_of


@dataclass(frozen=True, kw_only=True)
class BundlePolicy:
    """Which code may run here.

    Attributes:
        hashes: SHA-256 of the bundles that may, as the site computes it over the bytes it received; empty for none.
    """

    hashes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for digest in self.hashes:
            if not is_sha256(digest):
                raise UsageError(f"bundle.hashes holds {digest!r}, expected SHA-256 in 64 lower-case hex digits")


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """Which runs may start.

    Attributes:
        hours: when messages are answered, by the node's own clock, e.g. ``20:00-06:00``; empty for any time.
        max_rounds: of a run.
        max_runs_day: that begin, or are gone on with, in any 24 hours, restarts of the node in a run among them. Each
            run may ask anew what a run may ask once.
        max_memory: GB that a step of a private run may take by its settings, whatever the recordings are
            (``common.privacy.memory``); a kit says 3, less than its trainer has.
        max_steps_round: of the optimizer, that a message may ask for where a run says which share of the units a step
            takes; elsewhere they are as many as the site's recordings make, times the passes, which have their bound.
        bounds: by a setting's name in ``common.config.settings``: ``(least, greatest)`` of a number, the texts that are
            allowed, or the one truth value. What a list holds is checked one by one. The file adds to the defaults.
    """

    hours: str = ""
    max_rounds: int = 200
    max_runs_day: int = 100
    max_memory: float = 16.0
    max_steps_round: int = 10_000
    bounds: Mapping[str, Bound] = field(default_factory=lambda: dict(DEFAULT_BOUNDS))

    def __post_init__(self) -> None:
        Hours.parse(self.hours)
        in_range("run.max_rounds", self.max_rounds, 1, 100_000)
        in_range("run.max_runs_day", self.max_runs_day, 1, 100_000)
        in_range("run.max_memory", self.max_memory, 0.1, 1e6)
        in_range("run.max_steps_round", self.max_steps_round, 1, 10**9)
        for name, bound in self.bounds.items():
            check_bound(name, bound)

    def reasons(self, config: Config) -> Iterator[str]:
        """Why a run is refused, at any hour."""
        if config.most_rounds > self.max_rounds:
            rounds = f"{config.most_rounds} rounds{', with federation.refit' if config.refits else ''}"
            yield f"the run has {rounds}; the policy allows {self.max_rounds} (run.max_rounds)"
        rate = config.privacy.sample_rate if config.privacy.at_sites else 0.0
        if rate and config.training.local_epochs > self.max_steps_round * rate:
            steps = f"{config.training.local_epochs} / {rate:g} steps in a message"
            yield f"the run asks for {steps}; the policy allows {self.max_steps_round} (run.max_steps_round)"
        for name, bound in self.bounds.items():
            if fault := outside(name, bound, config):
                yield fault
        yield from self._memory(config)

    def _memory(self, config: Config) -> Iterator[str]:
        if not config.privacy.at_sites:
            return
        from common.privacy.memory import most_bytes  # torch: a second to import

        if (needed := most_bytes(config) / 1e9) > self.max_memory:
            yield (
                f"a step of the run may take {needed:.3g} GB of memory; the policy allows {self.max_memory:g} "
                "(run.max_memory): a smaller privacy.max_physical_batch or privacy.max_seconds takes less"
            )

    def closed(self, now: datetime) -> Iterator[str]:
        """Why nothing is answered at this time of the day."""
        if not Hours.parse(self.hours).contain(now):
            yield f"it is {now:%H:%M}, the policy allows {self.hours} (run.hours)"


@dataclass(frozen=True, kw_only=True)
class PrivacyPolicy:
    """How private a run must be.

    A private run fixes its ε or its noise, and is judged by the one it fixes: the other follows only at the site. One
    that fixes what the policy leaves open, while the policy bounds the other, is refused.

    Attributes:
        unit: ``utterance``, ``speaker`` or ``site``: each run must hide just this; empty where none has to.
        max_epsilon: of a run; ``inf`` for no bound. Of one that fixes its noise it is computed before the first step.
        min_noise_multiplier: of a run that fixes its noise instead of its ε; 0 for no bound.
        max_delta: of (ε, δ).
        budget: the ε that all runs together may come to, for each ``unit``, or the one that the ledger's first run hid;
            ``inf`` for no bound of the site's own. With one, no run may hide a finer unit, have another δ, or not be
            private; one that hides the site, of which the coordinator keeps the account, must be named as ``unit``.
        report_epsilon: whether the server is told what was spent here.
        allow_insecure_seed: whether noise may be replayable, which protects nobody.
        allow_shared_noise: whether the site may add a part of a noise that is whole in the sum of all sites alone.
        honest: of shared noise, the most sites that a run may trust to keep their parts to themselves; 0 for no bound.
        colluding: of shared noise, how many sites' parts whoever looks may know: a sum is opened of so many more than
            the run's honest ones.
    """

    unit: str = ""
    max_epsilon: float = 10.0
    min_noise_multiplier: float = 0.5
    max_delta: float = 1e-4
    budget: float = math.inf
    report_epsilon: bool = False
    allow_insecure_seed: bool = False
    allow_shared_noise: bool = False
    honest: int = 0
    colluding: int = 1

    def __post_init__(self) -> None:
        if self.unit:
            one_of("privacy.unit", self.unit, UNITS)
        in_range("privacy.max_epsilon", self.max_epsilon, 1e-6, math.inf)
        in_range("privacy.min_noise_multiplier", self.min_noise_multiplier, 0.0, 1e9)
        in_range("privacy.max_delta", self.max_delta, 1e-300, 0.1)
        in_range("privacy.budget", self.budget, 1e-6, math.inf)
        in_range("privacy.honest", self.honest, 0, 10**4)
        in_range("privacy.colluding", self.colluding, 1, 10**4)

    def reasons(self, run: PrivacyConfig) -> Iterator[str]:
        """Why a run is refused."""
        found = f"hides the {run.unit}" if run.on else "is not private"
        if self.unit and not (run.on and run.unit == self.unit):
            yield f"the run {found}, the policy asks that it hides the {self.unit} (privacy.unit)"
        if self.budget < math.inf and not self.unit and not run.at_sites:
            yield (
                f"the run {found}, which no ledger of this site counts, and the policy has a budget (privacy.budget); "
                "privacy.unit = site would allow a run that hides the site"
            )
        if not run.on:
            return
        yield from self._strength(run)
        yield from self._sharing(run)
        if run.delta > self.max_delta:
            yield f"the run's δ is {run.delta:g}, the policy allows {self.max_delta:g} (privacy.max_delta)"
        if run.insecure_seed and not self.allow_insecure_seed:
            yield "the run's noise comes from its seed, and can be replayed (privacy.allow_insecure_seed)"

    def _sharing(self, run: PrivacyConfig) -> Iterator[str]:
        if run.shared and not self.allow_shared_noise:
            yield (
                "this site's part of the run's noise hides nobody without the others' parts, and the policy allows no "
                "such run (privacy.allow_shared_noise)"
            )
        if run.shared and 0 < self.honest < run.honest:
            yield (
                f"the run's noise is whole if {run.honest} sites keep their parts to themselves, the policy trusts "
                f"{self.honest} (privacy.honest)"
            )

    def _strength(self, run: PrivacyConfig) -> Iterator[str]:
        bounded, least = self.max_epsilon < math.inf, self.min_noise_multiplier
        if run.epsilon > self.max_epsilon and not run.noise_multiplier:
            yield f"the run's ε is {run.epsilon:g}, the policy allows {self.max_epsilon:g} (privacy.max_epsilon)"
        if 0 < run.noise_multiplier < least:
            noise = run.noise_multiplier
            yield f"the run's noise is {noise:g}, the policy asks for {least:g} (privacy.min_noise_multiplier)"
        if run.noise_multiplier and bounded and not least:
            yield "the run fixes its noise and not its ε, which the policy bounds; set privacy.min_noise_multiplier too"
        if not run.noise_multiplier and least and not bounded:
            yield "the run fixes its ε and not its noise, which the policy bounds; set privacy.max_epsilon too"


@dataclass(frozen=True, kw_only=True)
class DataPolicy:
    """Which recordings take part, and how few people may be spoken for.

    What a server may choose of these it could count: the difference of two runs' counts is how many recordings have a
    label. So the site says it, once, and each run must say the same.

    Attributes:
        classes: the emotions that each run must tell apart, in any order; empty for the corpus's own.
        style: the speech that each run must take, ``improvised`` or ``scripted``; empty for both.
        label_map: a file below the folder of recordings that says which label is which emotion; empty for the kit's. A
            run's own is for the coordinator's recordings, and reaches no site.
        encoders: SHA-256 of the weights of public encoders that a run may have in front of its model; empty for none.
        min_recordings: fewer training recordings than this, and nothing leaves.
        min_speakers: fewer training speakers, likewise; of fewer held-out speakers no counts leave.
    """

    classes: tuple[str, ...] = ()
    style: str = ""
    label_map: str = ""
    encoders: tuple[str, ...] = ()
    min_recordings: int = 10
    min_speakers: int = 2

    def __post_init__(self) -> None:
        if self.style:
            one_of("data.style", self.style, STYLES)
        if self.classes and not 1 < len(self.classes) == len(_names(self.classes)):
            raise UsageError(f"data.classes is {list(self.classes)}, expected at least 2 emotions, none of them twice")
        for digest in self.encoders:
            if not is_sha256(digest):
                raise UsageError(f"data.encoders holds {digest!r}, expected SHA-256 in 64 lower-case hex digits")
        in_range("data.min_recordings", self.min_recordings, 1, 10**9)
        in_range("data.min_speakers", self.min_speakers, 1, 10**9)

    def of_corpus(self, corpus: str) -> Self:
        """The same with the corpus's own classes, where it names none.

        Raises:
            UsageError: there is no such corpus.
        """
        one_of("the corpus", corpus, CORPORA)
        return self if self.classes else dataclasses.replace(self, classes=tuple(CORPORA[corpus].CLASSES))

    def reasons(self, run: DataConfig, encoder: EncoderConfig) -> Iterator[str]:
        """Why a run is refused. One that names no classes can't count any: the app refuses it too."""
        if run.classes and _names(run.classes) != _names(self.classes):
            allowed = ", ".join(sorted(_names(self.classes))) or "only the corpus's own"
            yield (
                f"the run tells apart {', '.join(map(short, run.classes))}; the policy allows {allowed} (data.classes)"
            )
        if run.style != self.style:
            yield f"the run takes {run.style or 'all'} speech, the policy allows {self.style or 'all'} (data.style)"
        if encoder.on and encoder.sha256 not in self.encoders:
            yield (
                f"the run has an encoder of SHA-256 {short(encoder.sha256)} in front, none of the "
                f"{len(self.encoders)} that are allowed (data.encoders)"
            )


def _names(classes: Collection[str]) -> set[str]:
    return set(map(emotion_name, classes))


@dataclass(frozen=True, kw_only=True)
class OutboundPolicy:
    """What may leave.

    Attributes:
        max_bytes_round: of all records together, in a round.
        allow_statistics: sums of the training features, before round 1; never in a private run.
        allow_class_counts: how often each class occurs among the training recordings, before round 1, where a run pools
            its class weights; never in a private run.
        allow_validation: confusion counts of the validation speakers, summed, and, once a run, how sure the model is of
            them; never in a private run.
        allow_test: confusion counts of the held-out speakers that the site holds, summed; never in a private run.
        allow_test_speakers: the same of each held-out speaker, without a name.
    """

    max_bytes_round: int = 16 * 2**20
    allow_statistics: bool = True
    allow_class_counts: bool = False
    allow_validation: bool = True
    allow_test: bool = True
    allow_test_speakers: bool = False

    def __post_init__(self) -> None:
        in_range("outbound.max_bytes_round", self.max_bytes_round, 1, 2**40)

    @property
    def types(self) -> list[str]:
        """The types of messages that are answered."""
        asked = {
            protocol.STATISTICS: self.allow_statistics,
            protocol.CLASSES_HELD: self.allow_class_counts,
            protocol.EVALUATE: self.allow_validation,
            protocol.EVALUATE_CONFIDENCE: self.allow_validation,
            protocol.EVALUATE_TEST: self.allow_test,
        }
        return [kind for kind in schema.TYPES if asked.get(kind, True)]
