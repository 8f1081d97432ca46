"""The kit that a coordinator gives a site: ``site.toml`` says who the site is, where the coordinator is, and what lies
in the folder of recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.sections import SPEAKER_IDS
from common.config.toml_file import read_table
from common.deployment.site_kit import POLICY, SETTINGS, SITE_NAME
from common.errors import UsageError
from common.validate import one_of

_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A kit, unpacked.

    Attributes:
        folder: where it lies.
        name: the site's.
        superlink: the coordinator's ``host:port``.
        corpus: what lies in the folder of recordings.
        root: a folder, or a manifest, below it; empty for itself.
        label_map: a file below it that renames labels; empty for none.
        speaker_ids: whether ids spelled alike are one person, ``merge``, or several, ``distinct``; empty: neither.
        encoder: a public encoder's folder or ONNX file below it; empty for none.
    """

    folder: Path
    name: str
    superlink: str
    corpus: str = "manifest"
    root: str = ""
    label_map: str = ""
    speaker_ids: str = ""
    encoder: str = ""

    @property
    def policy(self) -> Path:
        """The site's policy."""
        return self.folder / POLICY

    def recordings(self, data: str) -> str:
        """The corpus's root, in the folder of recordings."""
        return str(Path(data) / self.root)

    def labels(self, data: str) -> str:
        """The file that renames labels, in the folder of recordings; empty for none."""
        return str(Path(data) / self.label_map) if self.label_map else ""

    def encoder_folder(self, data: str) -> str:
        """The public encoder, in the folder of recordings; empty for none."""
        return str(Path(data) / self.encoder) if self.encoder else ""


def read(folder: Path) -> Kit:
    """Read a kit.

    Raises:
        UsageError: there is no ``site.toml``, or it is not of the expected form.
    """
    path = folder / SETTINGS
    table = read_table(path, expected="--kit names the folder that the site's kit was unpacked to")
    try:
        return _kit(folder, table)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _kit(folder: Path, table: Mapping[str, Any]) -> Kit:
    data = table.get("data", {})
    if not isinstance(data, dict):
        raise UsageError(f"data is {data!r}, expected a section [data]")
    for section, keys in (
        (table, ("name", "superlink", "data")),
        (data, ("corpus", "root", "label_map", "speaker_ids", "encoder")),
    ):
        for key in section:
            one_of("the key", key, keys)
    texts = {key: value for key, value in table.items() if key != "data"} | data
    for key, value in texts.items():
        if not isinstance(value, str):
            raise UsageError(f"{key} is {value!r}, expected a text")
    for key, pattern, example in (("name", SITE_NAME, "st-mary"), ("superlink", _ADDRESS, "fl.example.org:8443")):
        if not pattern.fullmatch(texts.get(key, "")):
            raise UsageError(f"{key} is {texts.get(key)!r}, expected e.g. {example}")
    one_of("speaker_ids", texts.get("speaker_ids", ""), ("", *SPEAKER_IDS))
    return Kit(folder=folder, **texts)
