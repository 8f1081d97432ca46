"""The split over sites: which training speakers each site holds, and which of them it sets aside for validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import SplitError, UsageError
from common.seeds import numpy_generator
from common.splits.folds import Fold, order
from common.utterance import Utterance

MIN_SPEAKERS_FOR_VALIDATION = 4
MAX_ALPHA = 1e9  # gives even shares already, and far larger ones overflow


@dataclass(frozen=True, kw_only=True)
class SiteSplit:
    """The speakers of one site, each list sorted.

    Attributes:
        name: ``site-0`` …, or the session, speaker or column value.
        train: speakers that the site trains on.
        validation: speakers that only choose the round.
        test: held-out speakers that the site itself holds (a manifest's ``split=test``).
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


def split_sites(utterances: Sequence[Utterance], fold: Fold, spec: str, validation: str, seed: int) -> list[SiteSplit]:
    """Deal a fold's training speakers over the sites.

    Args:
        utterances: all that are selected.
        fold: whose ``train`` speakers are dealt; a speaker never straddles two sites.
        spec: ``session``, ``speaker``, ``column``, a number, or ``dirichlet:N:ALPHA``.
        validation: ``one`` speaker or a share of each site's speakers, where it has at least 4; or ``none``.
        seed: draws the validation speakers, and the shares of a Dirichlet split.

    Returns:
        The sites, sorted by name.

    Raises:
        UsageError: a specification cannot be read.
        SplitError: these speakers cannot be dealt in this way.
    """
    train = [u for u in utterances if u.speaker in set(fold.train)]
    groups = _group(train, spec, seed)
    held = _held(utterances, fold) if spec == "column" and fold.name == "split" else {}
    sites = []
    for name in sorted(groups):
        aside = set_aside(sorted(groups[name]), validation, seed, name)
        rest = tuple(sorted(set(groups[name]) - set(aside)))
        test = tuple(sorted(s for s, site in held.items() if site == name))
        sites.append(SiteSplit(name=name, train=rest, validation=aside, test=test))
    return sites


def _held(utterances: Sequence[Utterance], fold: Fold) -> dict[str, str | None]:
    """The site of each held-out speaker."""
    owner: dict[str, str | None] = {}
    for u in utterances:
        if u.speaker in fold.test and owner.setdefault(u.speaker, u.site) != u.site:
            raise SplitError(f"--sites column: speaker {u.speaker} is at both {owner[u.speaker]} and {u.site}")
    return owner


def _group(utterances: Sequence[Utterance], spec: str, seed: int) -> dict[str, list[str]]:
    speakers = order(utterances)
    if spec == "speaker":
        return {speaker: [speaker] for speaker in speakers}
    if spec in ("session", "column"):
        return _by_column(utterances, spec)
    if spec.isdecimal() and int(spec) > 0:
        n = _enough(int(spec), speakers)
        return {f"site-{i}": speakers[i::n] for i in range(n)}
    kind, *numbers = spec.split(":")
    if kind == "dirichlet" and len(numbers) == 2 and numbers[0].isdecimal() and int(numbers[0]) > 0:
        return _dirichlet(speakers, _enough(int(numbers[0]), speakers), _alpha(numbers[1]), seed)
    raise UsageError(f"--sites is {spec!r}, expected session, speaker, column, a number, or dirichlet:N:ALPHA")


def _enough(sites: int, speakers: Sequence[str]) -> int:
    if sites > len(speakers):
        raise SplitError(
            f"{sites} sites need at least {sites} training speakers, there are {len(speakers)}; give --sites "
            f"{len(speakers)} or fewer, or hold out fewer speakers"
        )
    return sites


def _by_column(utterances: Sequence[Utterance], spec: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for u in utterances:
        value = u.session if spec == "session" else u.site
        if value is None:
            column = "session" if spec == "session" else "site"
            raise SplitError(f"--sites {spec}: speaker {u.speaker} has a recording without a {column} ({u.path.name})")
        if owner.setdefault(u.speaker, value) != value:
            raise SplitError(f"--sites {spec}: speaker {u.speaker} is at both {owner[u.speaker]} and {value}")
        if u.speaker not in groups.setdefault(value, []):
            groups[value].append(u.speaker)
    return groups


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0 < alpha <= MAX_ALPHA:
        raise UsageError(f"--sites dirichlet: ALPHA is {text!r}, expected a number above 0, at most {MAX_ALPHA:g}")
    return alpha


def _dirichlet(speakers: Sequence[str], n: int, alpha: float, seed: int) -> dict[str, list[str]]:
    """Each site's share of the speakers is drawn from Dir(alpha); every site gets at least one."""
    rng = numpy_generator(seed, "sites")
    shares = rng.dirichlet([alpha] * n) * (len(speakers) - n)
    counts = [1 + int(share) for share in shares]
    by_remainder = sorted(range(n), key=lambda i: (int(shares[i]) - shares[i], i))
    for i in by_remainder[: len(speakers) - sum(counts)]:
        counts[i] += 1
    shuffled = [speakers[i] for i in rng.permutation(len(speakers))]
    ends = [sum(counts[: i + 1]) for i in range(n)]
    return {f"site-{i}": shuffled[ends[i] - counts[i] : ends[i]] for i in range(n)}


def set_aside(speakers: Sequence[str], validation: str, seed: int, site: str) -> tuple[str, ...]:
    """The speakers of a site that only choose the round, sorted.

    Args:
        speakers: that the site holds and that are not held out, sorted.
        validation: ``one``, ``none``, or a share.
        seed: of the run.
        site: its name, on which the draw depends.

    Raises:
        UsageError: ``validation`` is none of these.
    """
    count = _validation_count(len(speakers), validation)
    drawn = numpy_generator(seed, site, "validation").permutation(len(speakers))[:count]
    return tuple(sorted(speakers[i] for i in drawn))


def _validation_count(speakers: int, validation: str) -> int:
    if validation == "none":
        return 0
    try:
        share = 0.0 if validation == "one" else float(validation)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1 or (share == 0 and validation != "one"):
        raise UsageError(f"--validation is {validation!r}, expected a share between 0 and 1, one, or none")
    if speakers < MIN_SPEAKERS_FOR_VALIDATION:
        return 0
    return min(max(1, round(share * speakers)), speakers - 1)
