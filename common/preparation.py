"""A corpus made ready for a run: its features computed or found, and what cannot be used named."""

from __future__ import annotations

import logging

from common.cache import FeatureCache
from common.config import Config
from common.errors import CorpusError
from common.extraction import Skipped, extract_all
from common.holdings import keep
from common.normalise import refuse_single_frames
from common.problems import listing_problems
from common.progress import Display
from common.selection import Selection

log = logging.getLogger("fedser.preparation")


def prepare(
    config: Config, selection: Selection, cache: FeatureCache, display: Display, *, workers: int
) -> list[Skipped]:
    """Compute, or find, the features of a corpus, and hold them in memory.

    Returns:
        The recordings that cannot be used; each was named in the log.

    Raises:
        CorpusError: ``data.strict``, and something cannot be used; or the normalisation needs whole recordings.
    """
    _say_what_is_left_out(config, selection)
    step = display.step("features", len(selection.utterances))
    recordings, skipped = extract_all(
        selection.utterances, config.features, config.augment, cache, workers=workers, progress=step.update
    )
    for item in skipped:
        log.warning("%s: %s; skipped", item.name, item.detail)
    if skipped and config.data.strict:
        raise CorpusError(f"--strict: {len(skipped)} recordings cannot be used, the first is {skipped[0].name}")
    refuse_single_frames(recordings, config.data.normalise, config.model.statistics)
    keep(config, recordings)
    return skipped


def _say_what_is_left_out(config: Config, selection: Selection) -> None:
    """Labels that nobody knows and files that the listing passed over, unless the user chose the classes."""
    problems = [] if config.data.classes else list(listing_problems(selection))
    if problems:
        first = problems[0]
        line = f"{len(problems)} recordings are left out, the first is {first.path}: {first.detail}"
        if config.data.strict:
            raise CorpusError(f"--strict: {line}")
        log.warning("%s; fedser corpus check lists them", line)
