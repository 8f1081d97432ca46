"""The corpora: a module each, with the same verbs ``load(root)`` and ``cite()`` and the same constants."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from common.corpora import casia, cremad, emodb, files, iemocap, manifest, ravdess, synthetic, tess
from common.corpora.label_map import read_label_map
from common.utterance import Utterance
from common.validate import one_of

__all__ = ["CORPORA", "default_classes", "find_passed_over", "load", "non_labels", "read_label_map"]

CORPORA: dict[str, ModuleType] = {
    "iemocap": iemocap,
    "ravdess": ravdess,
    "emodb": emodb,
    "casia": casia,
    "cremad": cremad,
    "tess": tess,
    "manifest": manifest,
    "synthetic": synthetic,
}


def load(name: str, root: Path, label_map: Mapping[str, str] | None = None) -> list[Utterance]:
    """Every utterance of a corpus, whatever its label, sorted by path.

    Args:
        name: one of ``CORPORA``.
        root: its folder; for ``manifest`` the manifest.
        label_map: labels to rename, as ``read_label_map`` reads them.

    Raises:
        UsageError: no corpus has this name.
        CorpusError: the root holds no such corpus.
    """
    one_of("--corpus", name, CORPORA)
    utterances: list[Utterance] = CORPORA[name].load(root)
    if not label_map:
        return utterances
    return [dataclasses.replace(item, emotion=label_map.get(item.emotion, item.emotion)) for item in utterances]


def default_classes(name: str, root: Path) -> dict[str, tuple[str, ...]]:
    """A corpus's own classes, each with the labels merged into it; a synthetic corpus has those of its layout.

    Raises:
        CorpusError: the root holds no synthetic corpus.
    """
    classes: dict[str, tuple[str, ...]] = _module(name, root).CLASSES
    return classes


def non_labels(name: str, root: Path) -> frozenset[str]:
    """The labels of a corpus that name no emotion, as where its listeners did not agree."""
    labels: frozenset[str] = getattr(_module(name, root), "NON_LABELS", frozenset())
    return labels


def find_passed_over(name: str, root: Path, utterances: list[Utterance]) -> list[tuple[str, Path, str]]:
    """Find the recordings at a root that ``load`` left out; see ``files.find_passed_over``."""
    module = _module(name, root)
    if module is manifest:
        return []  # it names each file itself
    pattern: re.Pattern[str] | None = getattr(module, "NAME", None)
    own = module.find_left_out(root) if module is iemocap else []
    passes_over = functools.partial(module.passes_over, root) if hasattr(module, "passes_over") else lambda _: False
    return [*own, *files.find_passed_over(root, utterances, pattern, passes_over)]


def _module(name: str, root: Path) -> ModuleType:
    return synthetic.LAYOUTS[synthetic.layout(root)] if name == "synthetic" else CORPORA[name]
