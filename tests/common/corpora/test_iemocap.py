from collections.abc import Callable
from pathlib import Path

import pytest

from common.corpora import catalogue, iemocap
from common.errors import CorpusError

Touch = Callable[..., Path]

IMPRO = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral;\t([6.2901 - 8.2357] Ses01F_impro01_F000 ang [1, 1, 1], said the listener)
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M003\texc\t[4.5000, 3.5000, 3.0000]
C-E2:\tExcited;\t()
[14.8872 - 18.0175]\tSes01F_impro01_F002\txxx\t[2.5000, 2.5000, 2.0000]
"""
SCRIPT = (
    "[1.0 - 2.0]\tSes05M_script01_1b_M012\thap\t[4, 4, 4]\n[2.0 - 3.0]\tSes05M_script01_1b_FXX1\tfru\t[2.0, 3.5, 3.0]\n"
)


def write(root: Path, dialog: str, text: str) -> None:
    folder = root / f"Session{int(dialog[3:5])}/dialog/EmoEvaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{dialog}.txt").write_text(text)


@pytest.fixture
def release(touch: Touch) -> Path:
    """A small IEMOCAP_full_release; one labelled utterance, Ses01F_impro01_F002, has no recording."""
    wavs = "IEMOCAP_full_release/Session{}/sentences/wav/{}/{}"
    root = touch(
        wavs.format(1, "Ses01F_impro01", "Ses01F_impro01_F000.wav"),
        wavs.format(1, "Ses01F_impro01", "._Ses01F_impro01_F000.wav"),
        wavs.format(1, "Ses01F_impro01", "Ses01F_impro01_M003.WAV"),
        wavs.format(5, "Ses05M_script01_1b", "Ses05M_script01_1b_M012.wav"),
        wavs.format(5, "Ses05M_script01_1b", "Ses05M_script01_1b_FXX1.wav"),
    )
    root = root / "IEMOCAP_full_release"
    write(root, "Ses01F_impro01", IMPRO)
    write(root, "Ses05M_script01_1b", SCRIPT)
    labels = root / "Session1/dialog/EmoEvaluation"
    (labels / "._Ses01F_impro01.txt").write_bytes(b"\x00\xff[1 - 2]")
    for folder in ("Categorical", "Attribute"):
        (labels / folder).mkdir()
        (labels / folder / "Ses01F_impro01_e2.txt").write_text(IMPRO.replace("neu", "ang").replace("_F000", "_F009"))
    return root


def test_reads_label_lines_and_nothing_else(release: Path) -> None:
    found = [(u.path.stem, u.emotion, u.speaker, u.session, u.gender, u.style) for u in iemocap.load(release)]
    assert found == [
        ("Ses01F_impro01_F000", "neutral", "Ses01F", "1", "female", "improvised"),
        ("Ses01F_impro01_F002", "xxx", "Ses01F", "1", "female", "improvised"),
        ("Ses01F_impro01_M003", "excitement", "Ses01M", "1", "male", "improvised"),
        ("Ses05M_script01_1b_FXX1", "frustration", "Ses05F", "5", "female", "scripted"),
        ("Ses05M_script01_1b_M012", "happiness", "Ses05M", "5", "male", "scripted"),
    ]


def test_finds_recordings_in_any_case_and_lists_missing_ones(release: Path) -> None:
    by_name = {u.path.stem: u.path for u in iemocap.load(release)}
    folder = release / "Session1/sentences/wav/Ses01F_impro01"
    assert by_name["Ses01F_impro01_M003"] == folder / "Ses01F_impro01_M003.WAV"
    assert by_name["Ses01F_impro01_F002"] == folder / "Ses01F_impro01_F002.wav"
    assert not by_name["Ses01F_impro01_F002"].exists()


@pytest.mark.parametrize("below", ["..", ".", "Session1"])
def test_the_root_may_be_above_or_below(release: Path, below: str) -> None:
    listed = iemocap.load(release / below)
    assert len(listed) == (3 if below == "Session1" else 5)


def test_windows_line_ends(release: Path) -> None:
    path = release / "Session5/dialog/EmoEvaluation/Ses05M_script01_1b.txt"
    path.write_bytes(SCRIPT.replace("\n", "\r\n").encode())
    assert len(iemocap.load(release)) == 5


def test_labels_without_recordings_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "Ses01F_impro01", IMPRO)
    with pytest.raises(CorpusError, match="looked for SessionN/sentences/wav"):
        iemocap.load(tmp_path)


def test_recordings_without_labels_are_refused(touch: Touch) -> None:
    with pytest.raises(CorpusError, match="looked for SessionN/dialog/EmoEvaluation"):
        iemocap.load(touch("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("C-E2:\tNeutral;\t()\n", "holds no label line"), ("[1.0 - 2.0]\tSes01F_impro01_F000\t\t[1, 1, 1]\n", "line 1")],
)
def test_a_broken_label_file_is_named(release: Path, text: str, message: str) -> None:
    write(release, "Ses01F_impro01", text)
    with pytest.raises(CorpusError, match=rf"Ses01F_impro01.txt.*{message}"):
        iemocap.load(release)


def test_a_session_without_labels_is_named(release: Path, touch: Touch) -> None:
    listed = catalogue.load("iemocap", release)
    assert catalogue.find_passed_over("iemocap", release, listed) == []
    wav = "IEMOCAP_full_release/Session{}/sentences/wav/Ses0{}F_impro01/Ses0{}F_impro01_F00{}.wav"
    touch(*(wav.format(session, session, session, n) for session in (2, 3) for n in (0, 1)))
    (release / "Session3/dialog/EmoEvaluation").mkdir(parents=True)
    (release / "Session3/dialog/EmoEvaluation/._Ses03F_impro01.txt").touch()
    found = catalogue.find_passed_over("iemocap", release, catalogue.load("iemocap", release))
    assert [(kind, path) for kind, path, _ in found] == [
        ("unlabelled", release / "Session2"),
        ("unlabelled", release / "Session3"),
    ]
    assert "its 2 recordings are not used, for there are no labels: looked for dialog/EmoEvaluation" in found[0][2]


def test_what_is_said_is_read_where_somebody_wrote_it_down(release: Path) -> None:
    folder = release / "Session1/dialog/transcriptions"
    folder.mkdir()
    (folder / "Ses01F_impro01.txt").write_text(
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me: yes?  \n"
        "M: mumbles\n"
        "Ses01F_impro01_M003 [010.0100-011.3925]: \n"
        "Ses01F_impro01_FXX0 [012.0-013.0]: Nobody listed this.\n"
    )
    assert {u.path.stem: u.text for u in iemocap.load(release)} == {
        "Ses01F_impro01_F000": "Excuse me: yes?",
        "Ses01F_impro01_F002": None,
        "Ses01F_impro01_M003": None,
        "Ses05M_script01_1b_FXX1": None,
        "Ses05M_script01_1b_M012": None,
    }
    assert "Excuse" not in repr(iemocap.load(release))
