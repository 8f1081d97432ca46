"""Names don't decide alone: files of one name with other sound, and sound under a name that isn't read, are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from common.config.settings import DataConfig
from common.corpora import foreign
from common.corpora.catalogue import CORPORA, find_passed_over, load
from common.curation.preflight import check
from common.curation.selection import list_corpus
from common.errors import CorpusError
from tests.common.examples import tone

NAMES = {
    "emodb": ("03a01Wa", "wav/{}"),
    "ravdess": ("03-01-05-02-01-02-12", "Actor_12/{}"),
    "cremad": ("1001_DFA_ANG_XX", "AudioWAV/{}"),
    "tess": ("OAF_back_angry", "OAF_angry/{}"),
    "casia": ("201", "liu/angry/{}"),
}
SHORT = {
    "mp4": b"\0\0\0\x20ftypM4A ",
    "amr": b"#!AMR\n",
    "webm": b"\x1aE\xdf\xa3",
    "aac": b"\xff\xf1P\x80",
    "wma": b"0&\xb2u\x8ef\xcf\x11",
}
OTHER = (b"", b"\xff", b"\xff\xfea\0", b"\xef\xbb\xbfabc", b"%PDF-1.7", b"\x89PNG", b"\xff\xd8\xff\xe0")


def folder(root: Path, corpus: str, more: str = "") -> Path:
    name, place = NAMES[corpus]
    return tone(root / more / place.format(f"{name}.wav"))


@pytest.mark.parametrize("corpus", NAMES)
def test_two_of_one_name_with_other_sound_are_refused(tmp_path: Path, corpus: str) -> None:
    first = folder(tmp_path, corpus, "a")
    other = folder(tmp_path, corpus, "b")
    assert len(load(corpus, tmp_path)) == 1  # the same bytes
    other.write_bytes(first.read_bytes() + b"LIST\x04\0\0\0INFO")
    assert len(load(corpus, tmp_path)) == 1  # the same sound
    soundfile.write(other.with_suffix(".flac"), *soundfile.read(other), subtype="PCM_16")
    assert len(load(corpus, tmp_path)) == 1  # in another format
    tone(other, hz=333.0)
    with pytest.raises(CorpusError, match=r"have one name and hold different sound.*--root"):
        load(corpus, tmp_path)
    other.unlink()
    tone(tmp_path / "x.wav", hz=333.0)
    soundfile.write(other.with_suffix(".flac"), *soundfile.read(tmp_path / "x.wav"))
    with pytest.raises(CorpusError, match=r"have one name and hold different sound.*--root"):
        load(corpus, tmp_path)


def test_laryngograms_are_no_speech(tmp_path: Path) -> None:
    path = folder(tmp_path, "emodb")
    tone(tmp_path / "Laryngo" / path.name, hz=333.0)
    found = load("emodb", tmp_path)
    assert [u.path for u in found] == [path]
    assert find_passed_over("emodb", tmp_path, found) == []
    shutil.rmtree(path.parent)
    with pytest.raises(CorpusError, match="found laryngograms alone"):
        load("emodb", tmp_path)


@pytest.mark.parametrize("ending", [".m4a", ".aac", ".amr", ".webm", ".WMA", ".mp4", ".3gp", ".m4b", ".opus.bak", ""])
@pytest.mark.parametrize("corpus", NAMES)
def test_sound_that_is_not_read_is_listed(tmp_path: Path, corpus: str, ending: str) -> None:
    first = folder(tmp_path, corpus)
    name, _ = NAMES[corpus]
    other = {"emodb": "08a01Wa", "ravdess": "03-01-05-02-01-02-11", "cremad": "1002_DFA_ANG_XX"}.get(corpus, name)
    other = {"tess": "YAF_back_angry", "casia": "202"}.get(corpus, other)
    path = first.with_name(other + ending)
    shutil.copy(first, path)
    found = find_passed_over(corpus, tmp_path, load(corpus, tmp_path))
    kind = "unreadable" if CORPORA[corpus].NAME.fullmatch(path.stem) else "unknown-name"
    assert [(k, p) for k, p, _ in found] == [(kind, path)]
    first.unlink()
    with pytest.raises(CorpusError, match="in a format that is not read, and 1 such file in all: convert"):
        load(corpus, tmp_path)


def test_what_a_corpus_has_beside_its_recordings_is_no_news(tmp_path: Path) -> None:
    path = folder(tmp_path, "ravdess")
    for name in ("01-01-05-02-01-02-12.mp4", "02-02-05-02-01-02-12.mp4", f"{path.stem}.m4a", "README.txt", "a.lab"):
        (path.parent / name).write_bytes(b"\0\0\0\x20ftypmp42" if name.endswith(("4", "a")) else b"a few words")
    assert find_passed_over("ravdess", tmp_path, load("ravdess", tmp_path)) == []


def test_a_check_lists_them_and_a_strict_one_ends(tmp_path: Path) -> None:
    folder(tmp_path, "emodb")
    shutil.copy(folder(tmp_path, "emodb"), tmp_path / "08a01Wa.m4a")
    found = check(list_corpus(DataConfig(corpus="emodb", root=str(tmp_path))))
    assert "unreadable" in {problem.kind for problem in found.problems}


@pytest.mark.parametrize("kind", SHORT)
def test_sound_is_known_by_its_first_bytes(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.bin").write_bytes(SHORT[kind] + bytes(40))
    assert foreign.is_sound(tmp_path / "a.bin")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\xff\xfea\0", b"\xef\xbb\xbfabc", b"%PDF-1.7", b"\x89PNG", b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_sound(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert not foreign.is_sound(tmp_path / "a.bin")
