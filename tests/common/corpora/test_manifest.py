import json
from pathlib import Path

import pytest

from common.corpora import manifest
from common.errors import CorpusError


def save(folder: Path, text: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_reads_every_column_and_ignores_others(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "\ufeffpath,emotion,speaker,session,site,gender,language,split,start,end,ward\r\n"
        "b/x.wav,Angry,03,1,north,W,de,train,0.5,2,7\r\n"
        "\r\n"
        "/abs/a.wav, sad ,4,,,,,,,,\r\n",
    )
    first, second = manifest.load(path)
    assert (first.path, first.emotion, first.speaker) == (Path("/abs/a.wav"), "sadness", "4")
    assert (first.session, first.site, first.gender, first.language, first.split, first.start) == (None,) * 6
    assert second.path == tmp_path / "b/x.wav"
    assert (second.speaker, second.emotion, second.session, second.site) == ("03", "anger", "1", "north")
    assert (second.gender, second.language, second.split) == ("female", "de", "train")
    assert (second.start, second.end) == (0.5, 2.0)


@pytest.mark.parametrize("name", ["manifest.jsonl", "recordings"])
def test_reads_json_lines_by_extension_or_by_looking(tmp_path: Path, name: str) -> None:
    rows = [
        {"path": "m.npy", "emotion": "joy", "speaker": "03", "gender": None},
        {"path": "n.npy", "emotion": "x", "speaker": 3},
    ]
    path = save(tmp_path, "\n".join(json.dumps(row) for row in rows) + "\n\n", name)
    assert [(u.path.name, u.emotion, u.speaker) for u in manifest.load(path)] == [
        ("m.npy", "happiness", "03"),
        ("n.npy", "x", "3"),
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    path = save(tmp_path, "path,emotion,speaker\na.wav,fear,1\n".replace(",", separator))
    assert [u.emotion for u in manifest.load(path)] == ["fear"]


def test_a_folder_with_one_manifest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest.csv or manifest.jsonl, found neither"):
        manifest.load(tmp_path)
    save(tmp_path, "path,emotion,speaker\na.wav,fear,1\n")
    assert len(manifest.load(tmp_path)) == 1
    save(tmp_path, "", "manifest.jsonl")
    with pytest.raises(CorpusError, match="both are there"):
        manifest.load(tmp_path)
    with pytest.raises(CorpusError, match="does not exist"):
        manifest.load(tmp_path / "none.csv")


def test_commas_at_the_end_of_the_lines_are_no_cells(tmp_path: Path) -> None:
    path = save(tmp_path, "path,emotion,speaker\na.wav,fear,1,\nb.wav,fear,2,, \n")
    assert [u.speaker for u in manifest.load(path)] == ["1", "2"]
    path = save(tmp_path, "path,emotion,speaker,\na.wav,fear,1,\n")
    assert [u.speaker for u in manifest.load(path)] == ["1"]


@pytest.mark.parametrize("gender", ["other", "Divers", "x", "", "unknown", "0"])
def test_a_gender_of_another_name_is_unknown(tmp_path: Path, gender: str) -> None:
    path = save(tmp_path, f"path,emotion,speaker,gender\na.wav,fear,1,{gender}\nb.wav,fear,2, Female \n")
    assert [u.gender for u in manifest.load(path)] == [None, "female"]


HEADER = "path,emotion,speaker,gender,split,start,end\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists nothing"),
        (HEADER, "lists nothing"),
        ("file,emotion\n", r"no column path, speaker; found file, emotion"),
        ("path,path,emotion,speaker\n", "the column path twice"),
        (HEADER + "a.wav,sad,1,,,,\n\nb.wav,sad,,,,,\n", r"line 4, column speaker: empty"),
        (HEADER + "a.wav,sad,1\n", r"line 2: 3 cells, expected 7"),
        (HEADER + "a.wav,sad,1,,,,,7\n", r"line 2: 8 cells, expected 7"),
        (HEADER + "a.wav,sad,1,,wild,,\n", r"line 2, column split: 'wild'"),
        (HEADER + "a.wav,sad,1,,,now,\n", r"line 2, column start: 'now'"),
        (HEADER + "a.wav,sad,1,,,-1,\n", r"line 2, column start: '-1'"),
        (HEADER + "a.wav,sad,1,,,nan,\n", r"line 2, column start: 'nan'"),
        (HEADER + "a.wav,sad,1,,,2,2\n", r"line 2, column end: 2 s, expected more than the start"),
        (HEADER + "a.npy,sad,1,,,0,2\n", r"line 2, column start: a.npy is a feature matrix"),
        (HEADER + 'a.wav,"sad"x,1,,,,\n', r"line 2: not CSV"),
    ],
)
def test_a_bad_csv_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        manifest.load(save(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.wav"', "line 1: not JSON"),
        ("\n[1]", "line 2: expected an object"),
        ('{"path": "a.wav", "label": "sad"}', r"line 1, column emotion: missing \(found path, label\)"),
        ('{"path": "a.wav", "emotion": "sad", "speaker": true}', r"line 1, column speaker: true, expected text"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        manifest.load(save(tmp_path, text, "manifest.jsonl"))


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("path,emotion,speaker\nMüller.wav,sad,1\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="not UTF-8"):
        manifest.load(path)


@pytest.mark.parametrize(("text", "channel"), [("", None), ("0", 0), ("1", 1), ("Left", 0), ("r", 1), ("2.0", 2)])
def test_a_channel_is_counted_from_0_or_named(tmp_path: Path, text: str, channel: int | None) -> None:
    path = save(tmp_path, f"path,emotion,speaker,channel\na.wav,fear,1,{text}\n")
    [found] = manifest.load(path)
    assert found.channel == channel
    assert found.name == str(tmp_path / "a.wav") + ("" if channel is None else f"#channel {channel}")


@pytest.mark.parametrize("text", ["-1", "both", "1.5", "²"])
def test_a_channel_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = save(tmp_path, f"path,emotion,speaker,channel\na.wav,fear,1,{text}\n")
    with pytest.raises(CorpusError, match=r"line 2, column channel: .*expected 0 for the first"):
        manifest.load(path)


def test_a_matrix_has_no_channels(tmp_path: Path) -> None:
    path = save(tmp_path, "path,emotion,speaker,channel\na.npy,fear,1,0\n")
    with pytest.raises(CorpusError, match=r"column channel: a.npy is a feature matrix"):
        manifest.load(path)


def test_a_column_says_what_is_said(tmp_path: Path) -> None:
    save(tmp_path, 'path,emotion,speaker,text\na.wav,fear,1,"Go, now!"\nb.wav,fear,1,\n')
    assert [u.text for u in manifest.load(tmp_path)] == ["Go, now!", None]
