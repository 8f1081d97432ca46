"""A corpus made ready for a run: its features computed or found, and what cannot be used named."""

from __future__ import annotations

import logging

from common.config.settings import Config
from common.curation.preflight import check
from common.curation.problems import Problem, listing_problems
from common.curation.selection import Selection
from common.data.extraction import Recording, Skipped, clean, extract_each
from common.data.normalise import refuse_single_frames
from common.data.resident import keep_each
from common.errors import CorpusError
from common.features.cache import FeatureCache
from common.progress import Display
from common.splits.folds import refuse_unusable

log = logging.getLogger("fedser.preparation")


def prepare(
    config: Config, selection: Selection, cache: FeatureCache, display: Display, *, workers: int, apart: bool = False
) -> list[Skipped]:
    """Compute, or find, the features of a corpus, and hold them in memory.

    Args:
        config: of the run.
        selection: the corpus, and what was chosen of it.
        cache: where features are kept.
        display: of the progress.
        workers: processes.
        apart: whether each speaker is cleaned by looking at that speaker alone, as before a private simulation, whose
            sites clean their units themselves; otherwise the corpus is cleaned as a whole.

    Returns:
        The recordings that cannot be used; each was named in the log.

    Raises:
        CorpusError: ``data.strict``, and ``fedser corpus check`` lists a problem; or nothing at all can be used; or the
            normalisation needs whole recordings.
        SplitError: nothing can be used of whom ``data.held_out`` names.
    """
    if config.data.strict:
        _refuse_any_problem(selection, display, workers)
    _say_what_is_left_out(selection)
    _say_that_there_are_no_words(config, selection)
    step = display.step("features", len(selection.utterances))
    found = extract_each(
        selection.utterances,
        config.features,
        config.augment,
        cache,
        workers=workers,
        progress=step.update,
        seconds=config.privacy.longest,
    )
    recordings, skipped = clean(found)
    if apart:
        skipped = [item for item in skipped if item.alone]
        left_out = {item.name for item in skipped}
        whole = [item for item in found if isinstance(item, Recording)]
        recordings = [item for item in whole if item.utterance.name not in left_out]
    for item in skipped:
        log.warning("%s: %s; skipped", item.name, item.detail)
    if not recordings:
        raise CorpusError(_nothing_left(selection, skipped))
    refuse_unusable(config.data.held_out, selection.utterances, [recording.utterance for recording in recordings])
    if skipped and config.data.strict:  # changed since it was checked
        raise CorpusError(f"--strict: {len(skipped)} recordings cannot be used, the first is {skipped[0].name}")
    refuse_single_frames(recordings, config.data.normalise, config.model.statistics)
    keep_each(config, selection.utterances, found)
    return skipped


def _refuse_any_problem(selection: Selection, display: Display, workers: int) -> None:
    """The whole preflight, for extraction sees no more than what it cannot use: no clipped file, no copy, no label."""
    step = display.step("checking", len(selection.utterances))
    problems = check(selection, workers=workers, progress=step.update).problems
    if problems:
        raise CorpusError(f"--strict: {_in_one_line(problems[0], len(problems))}; fedser corpus check lists all")


def _in_one_line(first: Problem, count: int) -> str:
    number = f"{count} problems, the first is" if count > 1 else "1 problem,"
    return f"{number} {first.kind}: {first.path}: {first.detail}"


def _nothing_left(selection: Selection, skipped: list[Skipped]) -> str:
    why = f"; the first is {skipped[0].name}: {skipped[0].detail}" if skipped else ""
    return (
        f"--root {selection.root}: none of its recordings can be used ({len(skipped)} skipped{why}); "
        "fedser corpus check lists them"
    )


def _say_what_is_left_out(selection: Selection) -> None:
    """Labels that nobody knows and files that the listing passed over; labels that were not chosen are no news."""
    problems = list(listing_problems(selection))
    if problems:
        first = problems[0]
        log.warning(
            "%d recordings are left out, the first is %s: %s; fedser corpus check lists them",
            len(problems),
            first.path,
            first.detail,
        )


def _say_that_there_are_no_words(config: Config, selection: Selection) -> None:
    if config.text.buckets and not any(utterance.text for utterance in selection.utterances):
        log.warning("text.buckets is %d, and of no recording is it known what is said", config.text.buckets)
