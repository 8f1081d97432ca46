"""Which utterances of a corpus take part, and under which class."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.config.settings import DataConfig
from common.corpora import catalogue
from common.corpora.synthetic import is_synthetic
from common.curation import speaker_ids
from common.errors import CorpusError, UsageError
from common.spelling import near_equal
from common.utterance import Utterance, emotion_name
from common.validate import one_of

Classes = Mapping[str, tuple[str, ...]]
STYLES = ("improvised", "scripted")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a corpus offers, and what was chosen from it.

    Attributes:
        corpus: the corpus's name.
        root: its folder, or the manifest.
        classes: each class, in order, with the labels merged into it.
        utterances: those chosen, sorted by path; their ``emotion`` is the class.
        listed: all that the corpus lists, with its own labels.
        synthetic: whether anyone ever spoke it.
        alike: speakers whose ids are spelled alike, in groups, of which nobody said whether they are one person.
    """

    corpus: str
    root: Path
    classes: dict[str, tuple[str, ...]]
    utterances: list[Utterance]
    listed: list[Utterance]
    synthetic: bool
    alike: speaker_ids.Groups = ()


def open_corpus(data: DataConfig) -> Selection:
    """List a corpus and choose from it, for a job that needs at least two classes.

    Raises:
        UsageError: an option is wrong, or names a class that the corpus does not have.
        CorpusError: the root holds no such corpus, or fewer than two of its default classes; or speakers are spelled
            alike, and ``data.speaker_ids`` is empty.
    """
    selection = list_corpus(data)
    speaker_ids.refuse_unsaid(selection.alike)
    if len(selection.classes) < 2:
        raise CorpusError(
            f"{data.corpus} at {data.root} has {len(selection.classes)} of its default classes, expected at least 2; "
            f"found the labels {_counts(labels(selection.listed))}: choose with --classes or rename with --label-map"
        )
    return selection


def list_corpus(data: DataConfig) -> Selection:
    """As ``open_corpus``, but for a preflight: however few of the default classes are there, and whoever is alike.

    Raises:
        UsageError: an option is wrong, or names a class that the corpus does not have.
        CorpusError: the root holds no such corpus.
    """
    one_of("--corpus", data.corpus, catalogue.CORPORA)
    if not data.root:
        raise UsageError(f"--root is missing: it names the folder, or the manifest, of --corpus {data.corpus}")
    root = Path(data.root).expanduser()
    label_map = catalogue.read_label_map(Path(data.label_map).expanduser()) if data.label_map else None
    listed = catalogue.load(data.corpus, root, label_map)
    if not data.outside_root:
        refuse_outside(listed, root.parent if root.is_file() else root)
    if data.speaker_ids == "merge":
        listed = speaker_ids.merge(listed)
    defaults = catalogue.default_classes(data.corpus, root)
    classes = parse_classes(data.classes, defaults, labels(listed))
    utterances = select(listed, classes, data.style or None)
    synthetic = is_synthetic(root)
    return Selection(
        corpus=data.corpus,
        root=root,
        classes=classes,
        utterances=utterances,
        listed=listed,
        synthetic=synthetic,
        alike=() if data.speaker_ids else near_equal(u.speaker for u in listed),
    )


def refuse_outside(listed: Iterable[Utterance], place: Path) -> None:
    """Refuse a list that names a file which lies elsewhere, by ``..`` or in full: what is read is what was given.

    Args:
        listed: what the corpus lists; its paths are not followed through links, which are the folder's owner's.
        place: the folder.

    Raises:
        CorpusError: it does; the first such path is named.
    """
    folder = os.path.abspath(place)  # noqa: PTH100 - which leaves links as they are
    outside = [u.path for u in listed if not Path(os.path.abspath(u.path)).is_relative_to(folder)]  # noqa: PTH100
    if outside:
        raise CorpusError(
            f"{outside[0]} lies outside {folder}, and so do {len(outside) - 1} more: put the recordings there, or give "
            "--outside-root; at a site of a federation nothing outside its --data is read"
        )


def labels(utterances: Iterable[Utterance]) -> dict[str, int]:
    """How often each label comes, sorted by label."""
    return dict(sorted(Counter(utterance.emotion for utterance in utterances).items()))


def parse_classes(names: Sequence[str], defaults: Classes, found: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The classes to tell apart.

    Args:
        names: the user's, in any known spelling, several in one text with commas or spaces; empty for the defaults.
        defaults: the corpus's own classes, each with the labels merged into it.
        found: the labels that the corpus has, with their counts.

    Returns:
        The user's classes in the user's order, each as ``merged`` has it, so that naming the defaults chooses the
        defaults; or the defaults that the corpus has.

    Raises:
        UsageError: a name comes twice, there is only one, or the corpus has none of it.
    """
    chosen = [emotion_name(part) for name in names for part in name.replace(",", " ").split()]
    if not chosen:
        return {name: own for name, own in defaults.items() if any(label in found for label in own)}
    classes = merged(chosen, defaults)
    for name, count in Counter(chosen).items():
        if count > 1:
            raise UsageError(f"--classes names {name} {count} times (different spellings of a label are one class)")
        if not any(label in found for label in classes[name]):
            raise UsageError(f"--classes names {name}, which the corpus does not have; it has {_counts(found)}")
    if len(chosen) < 2:
        raise UsageError(f"--classes names only {chosen[0]}, expected at least 2 classes")
    return classes


def merged(names: Sequence[str], defaults: Classes) -> dict[str, tuple[str, ...]]:
    """The labels of each of the run's classes: those that the corpus merges into it, less what is a class by itself.

    So IEMOCAP's ``happiness`` has the excitement too, unless ``excitement`` is a class beside it.
    """
    return {
        name: tuple(label for label in defaults.get(name, (name,)) if label == name or label not in names)
        for name in names
    }


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{label} ({count})" for label, count in found.items())


def select(utterances: Sequence[Utterance], classes: Classes, style: str | None = None) -> list[Utterance]:
    """The utterances of some classes, each with its class as ``emotion``, in the same order.

    Args:
        utterances: with the corpus's labels.
        classes: each class with the labels merged into it.
        style: ``improvised`` or ``scripted`` for these alone; None for both.

    Raises:
        UsageError: the style is unknown, or the corpus does not tell styles apart.
    """
    if style is not None:
        one_of("--style", style, STYLES)
        if not any(utterance.style for utterance in utterances):
            raise UsageError(f"--style {style}: this corpus does not tell improvised from scripted speech")
    class_of = {label: name for name, own in classes.items() for label in own}
    return [
        dataclasses.replace(utterance, emotion=class_of[utterance.emotion])
        for utterance in utterances
        if utterance.emotion in class_of and style in (None, utterance.style)
    ]
