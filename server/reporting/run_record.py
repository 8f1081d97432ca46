"""``result.json``: what a run leaves, simulated or deployed. This is its one definition; ``schema`` is its version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import FedserError, UsageError
from server.records.fold_record import Origin, PrivacyAccount, Round, Speakers
from server.records.json_record import BESIDE, Record, may_lack
from server.records.personal import PersonalSite
from server.records.scores import Calibration, Counts, Scores

if TYPE_CHECKING:
    from common.learning.recogniser import Recogniser

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class CorpusRecord(Record):
    """What was trained and scored on.

    Attributes:
        name: the corpus's.
        synthetic: whether nobody ever spoke it.
        utterances: that could be used; None where sites count speakers.
        skipped: that could not.
        speakers: of the utterances that could.
        classes: in the order that numbers them.
    """

    name: str
    synthetic: bool
    utterances: int | None
    skipped: int
    speakers: int
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scored(Record):
    """A model that the federated one is measured against: its scores on the same speakers."""

    test: Scores


@dataclass(frozen=True, kw_only=True)
class Baselines(Record):
    """The model of all recordings at one place, and that of each site alone, by its name."""

    pooled: Scored
    local: Mapping[str, Scored]


@dataclass(frozen=True, kw_only=True)
class RunFold(Record):
    """A fold of a run: as ``server.records.fold_record.FoldRecord``, with its baselines, where they were trained.

    Its ``test`` is None where nobody scored the model: so it may be in a private run of separate sites. Its
    ``confusion_first`` is as ``test.confusion``, of each recording as the first of a stranger's.
    """

    fold: str
    train_speakers: Speakers
    validation_speakers: Speakers
    test_speakers: Speakers
    privacy: PrivacyAccount | None
    chosen_round: int
    calibration: Calibration | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    test: Scores | None
    confusion_first: Counts | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    baselines: Baselines | None
    personal: Mapping[str, PersonalSite] | None = may_lack()
    rounds: tuple[Round, ...]
    refit: tuple[Round, ...] | None = may_lack()
    test_sites: Mapping[str, int | None] | None = may_lack()
    test_scores: Mapping[str, Scores] | None = may_lack()
    started_from: Origin | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes
    taught_by: Origin | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes


@dataclass(frozen=True, kw_only=True)
class Figure(Record):
    """A figure over the folds.

    Attributes:
        mean: of the folds.
        sd: their standard deviation; None for one fold.
        ci95: the 95 % interval of the mean, over test speakers; None below 5, or where not counted one by one.
    """

    mean: float
    sd: float | None
    ci95: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class StrangerSummary(Record):
    """The figures of speakers of whom so much has been heard before."""

    uar: Figure
    wa: Figure
    macro_f1: Figure


Strangers = Mapping[str, StrangerSummary | None]  # by ``0``, ``2``, ``8``, ``all``; None for what there is not


NoiseSummary = Mapping[str, Mapping[str, StrangerSummary]]  # by kind of noise, by ``clean`` or the ratio in dB


@dataclass(frozen=True, kw_only=True)
class Summary(Record):
    """The federated model's figures, and the UAR of the baselines, where they were trained.

    Attributes:
        uar: with all of the test speakers known, as are the next four.
        wa: likewise.
        macro_f1: likewise.
        pooled_uar: of the model of all recordings at one place.
        local_uar: of the models of each site alone.
        stranger: of the federated model, by how many others of the speaker were heard before.
        pooled_stranger: of the model of all recordings at one place; None where it was not trained.
        noise: of the federated model on a stranger's first recordings in noise; absent where it was not asked for.
    """

    uar: Figure
    wa: Figure
    macro_f1: Figure
    pooled_uar: Figure | None
    local_uar: Figure | None
    stranger: Strangers | None = None
    pooled_stranger: Strangers | None = None
    noise: NoiseSummary | None = may_lack()  # noqa: RUF009 -- as above


@dataclass(frozen=True, kw_only=True)
class Split(Record):
    """Who is where in a fold: the training and the validation speakers of each site, and the test speakers.

    Of separate sites, which name nobody, it has counts.
    """

    fold: str
    sites: Mapping[str, tuple[str, ...] | int]
    validation: Mapping[str, tuple[str, ...] | int]
    test: tuple[str, ...] | int


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """Seconds: of the features, of the training, of what is neither, and of all."""

    features_s: float
    training_s: float
    overhead_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class SkippedRecording(Record):
    """A recording that could not be used: its path, the kind of problem, and what was found."""

    path: str
    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """A finished run.

    Attributes:
        schema: the version of this definition.
        command: that made it.
        transductive: whether features were normalised with the test speakers' own recordings, without their labels.
        config: every setting, by flat name.
        encoder: the public encoder in front, as of ``server.records.front``; missing where there is none.
        corpus: what was trained and scored on.
        folds: in order.
        summary: the figures over the folds; None where nothing was scored.
        privacy: the account of the fold that spent most; None where nothing was private.
        split: who is where, an entry a fold.
        timing: in seconds.
        environment: versions, commit, processor.
        problems: recordings that were skipped.
        folder: the run's; None where it is not known.
        keeper: what deletes a temporary folder when this result is gone; None where the folder stays.
    """

    schema: int | None = may_lack()
    command: str | None = may_lack()
    transductive: bool | None = may_lack()
    config: Mapping[str, Any]
    encoder: Mapping[str, Any] | None = may_lack()
    corpus: CorpusRecord
    folds: tuple[RunFold, ...]
    summary: Summary | None
    privacy: PrivacyAccount | None
    split: tuple[Split, ...] | None = may_lack()
    timing: Timing
    environment: Mapping[str, Any]
    problems: tuple[SkippedRecording, ...] | None = may_lack()
    folder: Path | None = field(default=None, repr=False, compare=False, metadata=BESIDE)
    keeper: object = field(default=None, repr=False, compare=False, metadata=BESIDE)

    def at(self, folder: Path, keeper: object = None) -> Result:
        """The same result, with the run's folder and what deletes it, if it is a temporary one."""
        return dataclasses.replace(self, folder=folder.absolute(), keeper=keeper)

    def to_pandas(self, rows: str = "folds") -> Any:
        """The figures as a ``pandas.DataFrame``.

        Args:
            rows: what a row is: ``folds``, ``rounds`` of a fold, or ``sites`` of a round.

        Raises:
            UsageError: there is no such table, or pandas is not installed.
        """
        from server.reporting.frames import frame

        return frame(self, rows)

    def model(self) -> Recogniser:
        """The run's model; with several folds that of the first.

        Raises:
            UsageError: the run's folder is not known, or holds no model.
        """
        from common.learning.recogniser import load_model

        if self.folder is None:
            raise UsageError("this result has no folder, where its model would lie; read it by load_result(DIR)")
        return load_model(self.folder)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the result as one HTML page that needs nothing but a browser, and say where."""
        from server.reporting.report import write_report

        write_report(self, Path(path))
        return Path(path)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from server.reporting.frames import as_html

        return as_html(self)

    def __repr__(self) -> str:
        score = f"UAR {self.summary.uar.mean:.3f}" if self.summary else "not scored"
        return f"<Result: {score}, {len(self.folds)} folds of {self.corpus.name}>"


def load_result(path: str | PathLike[str]) -> Result:
    """Read the result of a finished run.

    Args:
        path: the run's folder, or its ``result.json``.

    Raises:
        UsageError: there is none, or it is of another version.
    """
    file = Path(path).expanduser()
    file = file / "result.json" if file.is_dir() else file
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        _refuse_other_schema(whole)
        return Result.from_json(whole).at(file.parent)
    except OSError as error:
        found = (error.strerror or "cannot be read").lower()
    except (ValueError, FedserError) as error:
        found = str(error)
    raise UsageError(f"{path}: {found}; expected the folder of a finished run, or its result.json")


def _refuse_other_schema(whole: Any) -> None:
    schema = whole.get("schema", SCHEMA) if isinstance(whole, Mapping) else SCHEMA
    if schema != SCHEMA:
        raise FedserError(f"it has the schema {schema}, this fedser reads {SCHEMA}: use the fedser that made it")
