"""Renaming a corpus's labels: ``--label-map F.toml`` with lines such as ``Wut = "anger"``."""

from __future__ import annotations

from pathlib import Path

from common.config.toml_file import read_table
from common.errors import UsageError
from common.utterance import emotion_name


def read_label_map(path: Path) -> dict[str, str]:
    """The labels to rename, each as ``emotion_name`` writes it, so that one line covers every spelling and case.

    Args:
        path: a TOML file with a line a label, ``found = "wanted"``, at the top or under ``[labels]``.

    Raises:
        UsageError: the file is missing, is not TOML, or is no such table.
    """
    table = read_table(path, option="--label-map")
    if isinstance(table.get("labels"), dict):
        if extra := sorted(table.keys() - {"labels"}):
            raise UsageError(f"--label-map {path}: {extra[0]!r} stands outside [labels], expected all lines in it")
        table = table["labels"]
    labels: dict[str, str] = {}
    for found, wanted in table.items():
        if not isinstance(wanted, str) or not wanted.strip():
            raise UsageError(f'--label-map {path}: {found} = {wanted!r}, expected a label, e.g. {found} = "anger"')
        name = emotion_name(found)
        if labels.setdefault(name, emotion_name(wanted)) != emotion_name(wanted):
            raise UsageError(f"--label-map {path}: two lines rename {name!r}, {found} is the second")
    if not labels:
        raise UsageError(f'--label-map {path} is empty, expected lines such as Wut = "anger"')
    return labels
