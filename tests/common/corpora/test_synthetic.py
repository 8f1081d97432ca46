import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.corpora import catalogue, emodb, synthetic
from common.errors import CorpusError

Touch = Callable[..., Path]


def mark(root: Path, layout: object) -> None:
    (root / synthetic.MARKER).write_text(json.dumps({"layout": layout, "speakers": 2}))


def test_delegates_to_the_layout(touch: Touch) -> None:
    root = touch("03a01Wa.wav", "08a01Ta.wav")
    mark(root, "emodb")
    assert [(u.corpus, u.speaker, u.emotion) for u in synthetic.load(root)] == [
        ("synthetic", "03", "anger"),
        ("synthetic", "08", "sadness"),
    ]
    assert catalogue.default_classes("synthetic", root) == emodb.CLASSES


def test_a_manifest_may_be_named_itself(tmp_path: Path) -> None:
    mark(tmp_path, "manifest")
    path = tmp_path / "manifest.csv"
    path.write_text("path,emotion,speaker\na.wav,sad,1\n")
    assert len(synthetic.load(path)) == len(synthetic.load(tmp_path)) == 1
    assert synthetic.is_synthetic(path)


def test_the_marker_shows_from_below_and_not_from_above(tmp_path: Path) -> None:
    made, real = tmp_path / "made", tmp_path / "real"
    (made / "wav").mkdir(parents=True)
    real.mkdir()
    mark(made, "emodb")
    assert synthetic.is_synthetic(made)
    assert synthetic.is_synthetic(made / "wav")
    assert not synthetic.is_synthetic(real)
    assert not synthetic.is_synthetic(tmp_path)


def test_a_folder_that_may_not_be_looked_into_is_no_synthetic_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: object, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.stat", forbidden)
    assert not synthetic.is_synthetic(tmp_path)


def test_refuses_a_missing_or_broken_marker(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"looked for SYNTHETIC.json"):
        synthetic.load(tmp_path)
    for content in ("{", "[]", '{"layout": "tape"}', '{"layout": ["emodb"]}'):
        (tmp_path / synthetic.MARKER).write_text(content)
        with pytest.raises(CorpusError, match="names no layout, expected one of iemocap"):
            synthetic.load(tmp_path)


def test_a_marker_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(tmp_path, "emodb")

    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(CorpusError, match=rf"^{tmp_path / synthetic.MARKER}: Permission denied; give this user"):
        synthetic.load(tmp_path)
