"""Held-out folds: which speakers are tested on. A fold is a set of speakers, so none is in both train and test."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common import edited_text
from common.errors import SplitError, UsageError
from common.spelling import meant, written
from common.splits.languages import language_of, refuse_bilinguals, speakers_by_language
from common.utterance import Utterance

log = logging.getLogger("fedser")
TEST = "test"  # the mark of a recording that a manifest holds out


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One held-out fold.

    Attributes:
        name: its specification, e.g. ``kfold:5:0``; ``--held-out`` takes it back.
        test: the speakers that nobody trains on, sorted.
        train: the others, sorted.
    """

    name: str
    test: tuple[str, ...]
    train: tuple[str, ...]


def order(utterances: Sequence[Utterance]) -> list[str]:
    """The speakers by gender where it is known (women first), then by id as text."""
    gender = dict.fromkeys((u.speaker for u in utterances), "") | {u.speaker: u.gender for u in utterances if u.gender}
    return sorted(gender, key=lambda speaker: (gender[speaker] == "", gender[speaker], speaker))


def marked(utterances: Sequence[Utterance], *, single: bool = False) -> set[str]:
    """The speakers whom a manifest's ``split=test`` keeps for the test.

    Args:
        utterances: as they are listed.
        single: whether a mark holds out that recording alone, and a speaker where all are marked: so where a recording
            is what a private run hides, and may decide for no other; otherwise one mark holds out the whole speaker.
    """
    kept = {u.speaker for u in utterances if u.split == TEST}
    return kept - {u.speaker for u in utterances if u.split != TEST} if single else kept


def held_out(utterances: Sequence[Utterance], spec: str, *, single: bool = False) -> list[Fold]:
    """The folds of a specification.

    Args:
        utterances: all that are selected.
        spec: one fold, ``session:5``, ``speaker:03``, ``language:de``, ``kfold:5:0`` or ``split`` (a manifest's
            ``split=test``); or each in turn, ``sessions``, ``speakers``, ``languages``, ``kfold:5``.
        single: as ``marked`` takes it.

    Raises:
        UsageError: the specification cannot be read.
        SplitError: these utterances have no such fold, or a speaker would be in both train and test.
    """
    kind, _, rest = spec.partition(":")
    makers: dict[str, Callable[[Sequence[Utterance], str], list[Fold]]] = {
        "session": _session,
        "speaker": _speaker,
        "language": _language,
        "sessions": _sessions,
        "speakers": _speakers,
        "languages": _languages,
        "kfold": _kfold,
        "split": _split,
    }
    if kind not in makers or (kind in ("sessions", "speakers", "languages", "split")) == bool(rest):
        raise UsageError(
            f"--held-out is {spec!r}, expected session:ID, speaker:ID, language:CODE, kfold:K:I or split for one fold, "
            "sessions, speakers, languages or kfold:K for each in turn"
        )
    folds = makers[kind](utterances, rest)
    kept = marked(utterances, single=single)
    if any(kept & set(fold.train) for fold in folds):
        log.warning("speakers with split=test train in no fold: %s", ", ".join(sorted(kept)))
    return [_without(fold, kept) for fold in folds]


def _without(fold: Fold, kept: set[str]) -> Fold:
    """The fold without those speakers that a manifest keeps for the test; they may be tested on."""
    train = tuple(speaker for speaker in fold.train if speaker not in kept)
    if not train:
        raise SplitError(f"held-out fold {fold.name}: all others have split=test, nobody is left to train on")
    return replace(fold, train=train)


def refuse_unusable(spec: str, chosen: Sequence[Utterance], usable: Sequence[Utterance]) -> None:
    """Refuse a held-out speaker, session or language of which every recording is broken: nobody can be tested on it.

    Args:
        spec: as ``held_out`` takes it; one that names nobody passes.
        chosen: all that are selected.
        usable: those that can be used.

    Raises:
        SplitError: none of whom it names can be used.
    """
    kind, _, name = spec.partition(":")
    if kind not in ("session", "speaker", "language"):
        return
    name = language_of(name) if kind == "language" else meant(name, {own for u in chosen if (own := _mark(u, kind))})
    there = [u for u in chosen if _mark(u, kind) == name]
    if there and not any(_mark(u, kind) == name for u in usable):
        raise SplitError(
            f"held-out {kind} {name!r}: none of its {len(there)} recordings can be used; fedser corpus check lists "
            "them: mend them, or hold out another"
        )


def _mark(utterance: Utterance, kind: str) -> str | None:
    """The utterance's session, speaker or language."""
    mark: str | None = getattr(utterance, kind)
    return language_of(mark) if mark and kind == "language" else mark


def _fold(name: str, utterances: Sequence[Utterance], test: set[str]) -> Fold:
    speakers = {u.speaker for u in utterances}
    if not test or test == speakers:
        raise SplitError(f"held-out fold {name}: {len(test)} of {len(speakers)} speakers, expected some but not all")
    return Fold(name=name, test=tuple(sorted(test)), train=tuple(sorted(speakers - test)))


def _session(utterances: Sequence[Utterance], session: str) -> list[Fold]:
    sessions = {u.session for u in utterances if u.session is not None}
    if (session := meant(session, sessions)) not in sessions:
        found = ", ".join(sorted(sessions)) or "none"
        raise SplitError(f"held-out session {session!r} does not exist; sessions found: {found}")
    inside = {u.speaker for u in utterances if u.session == session}
    both = inside & {u.speaker for u in utterances if u.session != session}
    if both:
        raise SplitError(
            f"session {session} shares speakers with other sessions ({', '.join(sorted(both))}); hold out speakers "
            "instead, e.g. --held-out kfold:5"
        )
    return [_fold(f"session:{session}", utterances, inside)]


def _sessions(utterances: Sequence[Utterance], _: str) -> list[Fold]:
    sessions = sorted({u.session for u in utterances if u.session is not None})
    if not sessions:
        raise SplitError("these utterances have no sessions; hold out speakers instead, e.g. --held-out kfold:5")
    return [fold for session in sessions for fold in _session(utterances, session)]


def _speaker(utterances: Sequence[Utterance], speaker: str) -> list[Fold]:
    speakers = order(utterances)
    if (speaker := meant(speaker, speakers)) not in speakers:
        raise SplitError(f"held-out speaker {speaker!r} does not exist; speakers found: {', '.join(speakers)}")
    return [_fold(f"speaker:{speaker}", utterances, {speaker})]


def _speakers(utterances: Sequence[Utterance], _: str) -> list[Fold]:
    return [fold for speaker in order(utterances) for fold in _speaker(utterances, speaker)]


def _language(utterances: Sequence[Utterance], code: str) -> list[Fold]:
    known, language = speakers_by_language(utterances), language_of(code)
    if language not in known:
        raise SplitError(f"held-out language {code!r} does not exist; languages found: {', '.join(known)}")
    refuse_bilinguals(language, known)
    return [_fold(f"language:{language}", utterances, known[language])]


def _languages(utterances: Sequence[Utterance], _: str) -> list[Fold]:
    return [fold for language in speakers_by_language(utterances) for fold in _language(utterances, language)]


def _kfold(utterances: Sequence[Utterance], rest: str) -> list[Fold]:
    numbers = rest.split(":")
    if not all(number.isdecimal() for number in numbers) or len(numbers) > 2 or int(numbers[0]) < 2:
        raise UsageError(f"--held-out is 'kfold:{rest}', expected kfold:K or kfold:K:I with K of at least 2")
    k = int(numbers[0])
    speakers = order(utterances)
    if len(speakers) < k:
        todo = f"; give --held-out kfold:{len(speakers)}, or add recordings of others" if len(speakers) > 1 else ""
        raise SplitError(f"kfold:{k} needs at least {k} speakers, there are {len(speakers)}{todo}")
    if len(numbers) == 2 and int(numbers[1]) >= k:
        raise UsageError(f"--held-out is 'kfold:{rest}', expected a fold from 0 to {k - 1}")
    chosen = [int(numbers[1])] if len(numbers) == 2 else range(k)
    return [_fold(f"kfold:{k}:{i}", utterances, set(speakers[i::k])) for i in chosen]


def _split(utterances: Sequence[Utterance], _: str) -> list[Fold]:
    test = {u.speaker for u in utterances if u.split == TEST}
    both = test & {u.speaker for u in utterances if u.split != TEST}
    if both:
        raise SplitError(f"speakers with split=test and without: {', '.join(sorted(both))}; expected each in one only")
    if not test:
        raise SplitError("no utterance has split=test; name the held-out speakers with --held-out")
    return [_fold("split", utterances, test)]


def read_emobox(path: Path, utterances: Sequence[Utterance]) -> Fold:
    """The fold of an EmoBox file pair, ``…_train_fold_1.jsonl`` and ``…_test_fold_1.jsonl`` (Ma et al., 2024).

    Utterances are found by the stem of ``wav``, with as many of its folders as tell the speakers apart (CASIA).
    Speakers that neither file names stay out; without the train file, all that the test file does not name trains.

    Raises:
        UsageError: the file cannot be read, or names none of the utterances.
        SplitError: a speaker is in both train and test (as in EmoBox's EMO-DB and CREMA-D folds), or all are tested on.
    """
    depth, speaker = _by_tail(path, utterances)
    test_file, train_file = _pair(path)
    named = {
        part: {tail for wav in _wavs(file) if (tail := _tail(wav, depth)) in speaker}
        for part, file in (("test", test_file), ("train", train_file))
        if file
    }
    for part, tails in named.items():
        if not tails:
            raise UsageError(f"--folds {path}: its {part} file names no utterance of this corpus")
    rest = named.get("train", speaker.keys() - named["test"])
    test, train = ({speaker[tail] for tail in tails} for tails in (named["test"], rest))
    _refuse_overlap(path, test, train, alone=train_file is None)
    return Fold(name=f"emobox:{test_file.stem}", test=tuple(sorted(test)), train=tuple(sorted(train)))


def _refuse_overlap(path: Path, test: set[str], train: set[str], *, alone: bool) -> None:
    if both := sorted(test & train):
        why = " (without a train file beside it, the recordings that it does not name would train)" if alone else ""
        raise SplitError(
            f"--folds {path}: {len(both)} speakers are in both train and test ({', '.join(both)}){why}; such a fold "
            "measures known speakers. Use --held-out instead, e.g. kfold:5"
        )
    if not train:
        raise SplitError(
            f"--folds {path}: it names every recording of all {len(test)} speakers, so that nobody is left to train "
            "on; put its train file beside it, or use --held-out instead, e.g. kfold:5"
        )


def _tail(path: Path, depth: int) -> tuple[str, ...]:
    return tuple(map(written, (*path.parts[-depth:-1], path.stem)))


def _by_tail(path: Path, utterances: Sequence[Utterance]) -> tuple[int, dict[tuple[str, ...], str]]:
    """The speaker of each end of a path, and how many parts such an end needs to have one speaker only."""
    for depth in (1, 2, 3):
        pairs = {(_tail(u.path, depth), u.speaker) for u in utterances}
        if len(dict(pairs)) == len(pairs):
            return depth, dict(pairs)
    raise UsageError(f"--folds {path}: the recordings' names do not tell its speakers apart; use --held-out instead")


def _pair(path: Path) -> tuple[Path, Path | None]:
    if "train" in path.name:
        test = path.with_name(path.name.replace("train", "test"))
        if not test.is_file():
            raise UsageError(f"--folds {path}: expected its test file {test.name} beside it")
        return test, path
    train = path.with_name(path.name.replace("test", "train"))
    return path, train if train != path and train.is_file() else None


def _wavs(path: Path) -> list[Path]:
    try:
        lines = edited_text.read(path).splitlines()
        return [Path(json.loads(line)["wav"].replace("\\", "/")) for line in lines if line.strip()]
    except OSError as error:
        raise UsageError(f"--folds {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"--folds {path}: expected one JSON object with 'wav' a line, as EmoBox writes") from None
