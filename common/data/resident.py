"""The recordings that a node holds, kept in memory between messages.

In a simulation the parent process fills this memory once; its worker processes are forks and share it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from common.config.settings import AugmentConfig, Config, FeatureConfig
from common.curation.selection import open_corpus
from common.data.extraction import Found, Recording, Skipped, clean, extract_all, extract_each
from common.errors import FedserError
from common.features.cache import FeatureCache
from common.splits.plan import Plan
from common.utterance import Utterance

# A corpus is listed once a process, however many sites it is; a simulation's forks find it listed.
listing = lru_cache(maxsize=2)(open_corpus)

_Key = tuple[Utterance, FeatureConfig, AugmentConfig, float]
_resident: dict[_Key, Recording] = {}
_broken: dict[_Key, Skipped] = {}


def keep(config: Config, recordings: Iterable[Recording]) -> None:
    """Hold recordings in memory for this process and those that it forks."""
    _resident.update({_key(config, r.utterance): r for r in recordings})


def keep_each(config: Config, utterances: Sequence[Utterance], found: Sequence[Found]) -> None:
    """Hold what was found of each utterance, be it that it cannot be used."""
    for utterance, item in zip(utterances, found, strict=True):
        key = _key(config, utterance)
        if isinstance(item, Skipped):
            _broken[key] = item
            _resident.pop(key, None)
        else:
            _resident[key] = item
            _broken.pop(key, None)


def _key(config: Config, utterance: Utterance) -> _Key:
    return utterance, config.features, config.augment, config.privacy.longest


def forget() -> None:
    """Let go of what this process holds: who starts another run may have changed the corpus meanwhile."""
    listing.cache_clear()
    _resident.clear()
    _broken.clear()


def listed_of(config: Config, plan: Plan, speakers: Collection[str]) -> list[Utterance]:
    """The utterances of some speakers that the plan does not leave out, in the order of the list."""
    wanted, skipped = set(speakers), set(plan.skipped)
    return [u for u in listing(config.data).utterances if u.speaker in wanted and u.name not in skipped]


def each_of(config: Config, utterances: Sequence[Utterance], cache: FeatureCache) -> list[Found]:
    """What looking at each utterance alone gives, from memory, else from the cache, else from the audio."""
    keys = [_key(config, u) for u in utterances]
    missing = [key[0] for key in keys if key not in _resident and key not in _broken]
    longest = config.privacy.longest
    found = extract_each(missing, config.features, config.augment, cache, workers=0, seconds=longest)
    keep_each(config, missing, found)
    return [_resident.get(key) or _broken[key] for key in keys]


def digests_of(config: Config, utterances: Sequence[Utterance]) -> list[str]:
    """Of each utterance the digest, where it is in memory; nothing is read."""
    keys = [_key(config, u) for u in utterances]
    return [found.digest if (found := _resident.get(key) or _broken.get(key)) else "" for key in keys]


def recordings_of(config: Config, plan: Plan, speakers: Collection[str], cache: FeatureCache) -> list[Recording]:
    """The usable recordings of some speakers, from memory, else from the cache, else from the audio.

    A private run's plan leaves out none of those who train; what of them cannot be used, among all that are asked for,
    is missing here.

    Raises:
        FedserError: a recording that was usable when the plan was made is not any more.
    """
    utterances = listed_of(config, plan, speakers)
    if config.privacy.on:
        return clean(each_of(config, utterances, cache))[0]
    missing = [u for u in utterances if _key(config, u) not in _resident]
    longest = config.privacy.longest
    found, broken = extract_all(missing, config.features, config.augment, cache, workers=0, seconds=longest)
    if broken:
        raise FedserError(f"{Path(broken[0].name).name}: {broken[0].detail}; it was usable when the run was planned")
    keep(config, found)
    return [_resident[_key(config, u)] for u in utterances]


def held_of(config: Config) -> list[Recording]:
    """Those of a corpus that are in memory, in the corpus's order."""
    keys = [_key(config, u) for u in listing(config.data).utterances]
    return [_resident[key] for key in keys if key in _resident]


def of_speakers(recordings: Sequence[Recording], speakers: Collection[str]) -> list[Recording]:
    """Those of some speakers, in the same order."""
    return [r for r in recordings if r.utterance.speaker in speakers]
