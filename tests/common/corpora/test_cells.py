"""A manifest as laboratories write it means what it meant to them, or one line names what it is."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from common.audio.reading import read
from common.corpora import manifest
from common.corpora.cells import seconds, split_of
from common.errors import AudioError, CorpusError
from tests.common.examples import tone

HEAD = "path,emotion,speaker"


def load(folder: Path, text: str, name: str = "m.csv") -> list[tuple[str, str, str]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return [(u.path.relative_to(folder).as_posix(), u.emotion, u.speaker) for u in manifest.load(folder / name)]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\nrec\\a.wav,sad,s1\n",
        f"{HEAD}\n.\\rec\\a.wav,sad,s1\n",
        'path, emotion, speaker\n"rec/a.wav", "sad", "s1"\n',
        'path ,emotion ,speaker\n"rec/a.wav" ,"sad" , s1 \n',
        '"path" ; "emotion" ; "speaker"\n"rec/a.wav" ; "sad" ; "s1"\n',
        "sep=;\npath;emotion;speaker\nrec/a.wav;sad;s1\n",
        "sep=,\r\npath,emotion,speaker\r\nrec/a.wav,sad,s1\r\n",
        "path\temotion\tspeaker\nrec/a.wav \tsad\u00a0\t\ufeffs1\n",
        ",path,emotion,speaker\n0,rec/a.wav,sad,s1\n",
        "path,emotion,speaker,,\rrec/a.wav,sad,s1,,\r",
    ],
)
def test_one_row_in_many_hands(tmp_path: Path, text: str) -> None:
    tone(tmp_path / "rec" / "a.wav")
    [(path, emotion, speaker)] = load(tmp_path, text)
    assert (Path(path).as_posix(), emotion, speaker) == ("rec/a.wav", "sadness", "s1")


def test_a_backslash_that_is_in_the_name_stays(tmp_path: Path) -> None:
    tone(tmp_path / "rec\\a.wav")
    assert load(tmp_path, f"{HEAD}\nrec\\a.wav,sad,s1\n") == [("rec\\a.wav", "sadness", "s1")]


FORMS = (unicodedata.normalize("NFC", "Zoë.wav"), unicodedata.normalize("NFD", "Zoë.wav"))


@pytest.mark.parametrize("name", FORMS, ids=["NFC", "NFD"])
def test_accents_are_found_as_the_disk_has_them(tmp_path: Path, name: str) -> None:
    tone(tmp_path / name)
    for form in FORMS:
        [(path, _, _)] = load(tmp_path, f"{HEAD}\n{form},sad,s1\n")
        assert path == name


def test_the_home_and_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tone(tmp_path / "audio" / "a b.wav")
    for text in ("~/audio/a b.wav", "~\\audio\\a b.wav", (tmp_path / "audio/a b.wav").as_uri()):
        assert load(tmp_path, f"{HEAD}\n{text},sad,s1\n") == [("audio/a b.wav", "sadness", "s1")]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("C:\\Users\\anna\\a.wav", "a path of Windows"),
        ("d:/a.wav", "a path of Windows"),
        ("\\\\nas01\\audio\\a.wav", "a path of Windows"),
        ("https://example.org/a.wav", "an address"),
        ("~nobody-of-this-name/a.wav", "write the whole path"),
    ],
)
def test_a_path_of_another_machine_is_named(tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(CorpusError, match=f"line 2, column path: .*{said}"):
        load(tmp_path, f"{HEAD}\n{path},sad,s1\n")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("12.5", 12.5), ("12,5", 12.5), ("0:12.5", 12.5), ("00:00:12,5", 12.5), ("1:02:03", 3723.0), ("", None)],
)
def test_times(text: str, meant: float | None) -> None:
    assert seconds("here", "start", text) == meant


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1,000.5", "12s", "1:75", "1,2,3"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(CorpusError, match="expected seconds"):
        seconds("here", "start", text)


@pytest.mark.parametrize(
    ("texts", "meant"),
    [
        (("Train", "TRAIN", "training", "train_1", "dev", "DEV", "Development", "val", "Validation"), "train"),
        (("test", "Test1", "TEST-2", "testing", "eval", "Evaluation", "held-out"), "test"),
    ],
)
def test_splits(texts: tuple[str, ...], meant: str) -> None:
    assert {split_of("here", text) for text in texts} == {meant}
    assert split_of("here", "") is None
    with pytest.raises(CorpusError, match="column split: 'wild'"):
        split_of("here", "wild")


def test_what_was_kept_aside_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, f"{HEAD},split\na.wav,sad,1,Dev\nb.wav,sad,2,val\nc.wav,sad,3,train\n")
    assert "2 lines have split=dev, val and are taken as train" in caplog.text


@pytest.mark.parametrize(("beyond", "used"), [(0.009, True), (0.03, True), (0.1, True), (0.11, False), (5.0, False)])
def test_a_stretch_may_end_a_little_beyond_its_file(tmp_path: Path, beyond: float, used: bool) -> None:
    path = tone(tmp_path / "a.wav", seconds=0.5)
    if used:
        assert len(read(path, 0.2, 0.5 + beyond)[0]) == 0.3 * 16000
        return
    with pytest.raises(AudioError, match=r"0.50 s long, not 0.2 to"):
        read(path, 0.2, 0.5 + beyond)


def test_a_stretch_does_not_begin_beyond_its_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="long, not"):
        read(tone(tmp_path / "a.wav", seconds=0.5), 0.5, 0.55)
