"""What a finished deployed run leaves: ``result.json``, report and card as a simulation's, with counts by site."""

from __future__ import annotations

from common.config.settings import Config
from common.splits import plan as plans
from common.splits.plan import Plan
from server.federation.runs.run_folder import RunFolder, RunStart
from server.records.fold_record import FoldRecord
from server.reporting import result
from server.reporting.artifacts import leave
from server.reporting.findings import count
from server.reporting.result import FoldResult
from server.reporting.run_record import CorpusRecord, Result, SkippedRecording, Split, Timing


def conclude(run: RunFolder, seconds: float) -> Result:
    """Put together and write what a run leaves.

    Args:
        run: one whose ServerApp has ended well.
        seconds: for how long it was followed.

    Raises:
        FedserError: the run left no result.
    """
    start, fold = run.read_start(), run.result()
    config, plan = Config().with_values(start.settings), plans.read(run.file("plan.json"))
    timing = _timing(start, fold, seconds)
    corpus = _about(config, start, plan, fold)
    problems = [SkippedRecording.from_json(item) for item in start.problems]
    folds, split = [FoldResult(federated=fold)], [_split(fold)]
    whole = result.build(config, corpus, folds, timing, start.command, split=split, problems=problems)
    leave(whole, run.path, run.file("model.safetensors"))
    return whole.at(run.path)


def _about(config: Config, start: RunStart, plan: Plan, fold: FoldRecord) -> CorpusRecord:
    """The ``corpus`` entry; None for the number of recordings where sites count speakers."""
    parts = (fold.train_speakers, fold.validation_speakers, fold.test_speakers)
    tested = sum(map(sum, fold.test.confusion)) if fold.test else 0
    trained = _examples(fold)
    counted = config.privacy.at_sites and not config.privacy.protects.single
    return CorpusRecord(
        name=config.data.corpus,
        synthetic=plan.synthetic,
        utterances=None if counted else tested + trained,
        skipped=len(start.problems),
        speakers=sum(map(count, parts)),
        classes=plan.classes,
    )


def _examples(fold: FoldRecord) -> int:
    """Recordings that the sites trained on: of each, the most that it told of in a round."""
    most: dict[str, int] = {}
    for entry in fold.all_rounds:
        for site, site_round in entry.sites.items():
            most[site] = max(most.get(site, 0), site_round.examples or 0)
    return sum(most.values())


def _timing(start: RunStart, fold: FoldRecord, seconds: float) -> Timing:
    training = sum(entry.seconds for entry in fold.all_rounds)
    total = start.features_s + max(seconds, training)
    return Timing(
        features_s=start.features_s,
        training_s=training,
        overhead_s=total - start.features_s - training,
        total_s=total,
    )


def _split(fold: FoldRecord) -> Split:
    """The fold's own words: counts by site."""
    told = {"sites": fold.train_speakers, "validation": fold.validation_speakers, "test": fold.test_speakers}
    return Split.from_json({"fold": fold.fold, **told})
