"""The recordings that a node holds, kept in memory between messages.

In a simulation the parent process fills this memory once; its worker processes are forks and share it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from common.config.settings import AugmentConfig, Config, FeatureConfig
from common.curation.selection import open_corpus
from common.data.extraction import Recording, extract_all
from common.errors import FedserError
from common.features.cache import FeatureCache
from common.splits.plan import Plan
from common.utterance import Utterance

# A corpus is listed once a process, however many sites it is; a simulation's forks find it listed.
listing = lru_cache(maxsize=2)(open_corpus)

_Key = tuple[Utterance, FeatureConfig, AugmentConfig]
_resident: dict[_Key, Recording] = {}


def keep(config: Config, recordings: Iterable[Recording]) -> None:
    """Hold recordings in memory for this process and those that it forks."""
    _resident.update({(r.utterance, config.features, config.augment): r for r in recordings})


def forget() -> None:
    """Let go of what this process holds: who starts another run may have changed the corpus meanwhile."""
    listing.cache_clear()
    _resident.clear()


def recordings_of(config: Config, plan: Plan, speakers: Collection[str], cache: FeatureCache) -> list[Recording]:
    """The usable recordings of some speakers, from memory, else from the cache, else from the audio.

    Raises:
        FedserError: a recording that was usable when the plan was made is not any more.
    """
    wanted = set(speakers)
    skipped = set(plan.skipped)
    utterances = [u for u in listing(config.data).utterances if u.speaker in wanted and u.name not in skipped]
    missing = [u for u in utterances if (u, config.features, config.augment) not in _resident]
    found, broken = extract_all(missing, config.features, config.augment, cache, workers=0)
    if broken:
        raise FedserError(f"{Path(broken[0].name).name}: {broken[0].detail}; it was usable when the run was planned")
    keep(config, found)
    return [_resident[u, config.features, config.augment] for u in utterances]


def held_of(config: Config) -> list[Recording]:
    """Those of a corpus that are in memory, in the corpus's order."""
    keys = [(u, config.features, config.augment) for u in listing(config.data).utterances]
    return [_resident[key] for key in keys if key in _resident]


def of_speakers(recordings: Sequence[Recording], speakers: Collection[str]) -> list[Recording]:
    """Those of some speakers, in the same order."""
    return [r for r in recordings if r.utterance.speaker in speakers]
