"""Files that people edit are read as their editors leave them: with a byte order mark, in UTF-16, with any line end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.node.policy.document import Policy
from client.node.site import kit
from common.config.settings import read_toml
from common.corpora import cremad, manifest
from common.corpora.label_map import read_label_map
from common.curation import forgotten
from common.deployment.site_kit import make_key
from common.edited_text import decoded
from common.errors import FedserError
from common.splits.folds import read_emobox
from server.federation.folder import coordinator_folder, registry
from tests.common.examples import utterance

KEY = make_key().public
FILES: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "policy": ("policy.toml", '[run]\nhours = "20:00-06:00"\n', lambda path: Policy.read(path).run.hours),
    "kit": ("site.toml", 'name = "st-mary"\nsuperlink = "a.org:1"\n', lambda path: kit.read(path.parent).name),
    "federation": ("federation.toml", 'host = "a.org"\n', lambda path: coordinator_folder.find(path.parent).host),
    "config": ("c.toml", "[model]\nhidden = 6\n", read_toml),
    "label map": ("l.toml", '[labels]\nwut = "anger"\n"Ärger" = "anger"\n', read_label_map),
    "registry": ("sites.json", '{"a1": {"public_key": null, "revoked": false}}', registry.read),
    "key": ("key.pub", f"{KEY} someone@somewhere\n", registry.read_public_key),
    "withdrawn": ("forgotten.json", '["Zoë"]\n', forgotten.read),
    "table": ("m.csv", "path,emotion,speaker\na.wav,sad,Zoë\n", lambda path: manifest.load(path)[0].speaker),
    "tabs": ("m.tsv", "path\temotion\tspeaker\na.wav\tsad\tZoë\n", lambda path: manifest.load(path)[0].speaker),
    "lines": (
        "m.jsonl",
        '{"path": "a.wav", "emotion": "sad", "speaker": "Zoë"}\n',
        lambda path: manifest.load(path)[0].speaker,
    ),
    "list": (
        "m.json",
        '[\n{"path": "a.wav", "emotion": "sad", "speaker": "Zoë"}\n]',
        lambda path: manifest.load(path)[0].speaker,
    ),
    "emobox": (
        "x_test_fold_1.jsonl",
        '{"wav": "a.wav"}\n',
        lambda path: read_emobox(path, [utterance("1", "a.wav"), utterance("2", "b.wav")]),
    ),
    "actors": ("VideoDemographics.csv", "ActorID,Sex\n1001,Male\n", lambda path: cremad._genders(path.parent)),
}
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
LINE_ENDS = ("\n", "\r\n", "\r")


@pytest.mark.parametrize("what", FILES)
def test_a_file_is_read_as_any_editor_leaves_it(tmp_path: Path, what: str) -> None:
    name, text, reader = FILES[what]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    plain = reader(path)
    for encoding in ENCODINGS:
        for end in LINE_ENDS:
            path.write_bytes(text.replace("\n", end).encode(encoding))
            assert reader(path) == plain, (encoding, end)


@pytest.mark.parametrize("what", FILES)
def test_another_encoding_is_one_line(tmp_path: Path, what: str) -> None:
    name, text, reader = FILES[what]
    (tmp_path / name).write_bytes(b"\xb3\xbf" + text.encode("iso-8859-1"))
    with pytest.raises(FedserError, match=name):
        reader(tmp_path / name)


def test_nothing_is_text_too() -> None:
    assert decoded(b"") == decoded(b"\xef\xbb\xbf") == ""
    assert json.loads(decoded('\ufeff\ufeff{"a": 1}'.encode())) == {"a": 1}
