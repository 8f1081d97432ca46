from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from recogniser.sound.turns import Turn, Turns, read_turns


def test_the_last_begun_has_the_word() -> None:
    turns = Turns([Turn(start=1, end=5, speaker="a"), Turn(start=2, end=3, speaker="b")])
    told = [turns.speaker_at(seconds) for seconds in (0.9, 1, 2, 2.9, 3, 4.9, 5)]
    assert told == [None, "a", "b", "b", "a", "a", None]
    assert Turns([]).speaker_at(0) is None


def test_an_rttm_file(tmp_path: Path) -> None:
    path = tmp_path / "x.rttm"
    path.write_text(";; by hand\nSPEAKER x 1 0.5 1.5 <NA> <NA> ann <NA> <NA>\nSPEAKER y 1 0 1 <NA> <NA> bob <NA>\n")
    turns = read_turns(path)
    assert set(turns) == {"x", "y"}
    assert [turns["x"].speaker_at(seconds) for seconds in (0.4, 0.5, 1.9, 2)] == [None, "ann", "ann", None]
    assert turns["x"].digest != turns["y"].digest


@pytest.mark.parametrize("line", ["SPEAKER x 1 0.5", "SPEAKER x 1 a b <NA> <NA> c", "SPEAKER x 1 -1 2 <NA> <NA> c"])
def test_what_is_no_rttm_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.rttm"
    path.write_text(f"\n{line}\n")
    with pytest.raises(UsageError, match="line 2"):
        read_turns(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_turns(tmp_path / "y.rttm")


def test_white_space_in_a_name_is_written_as_rttm_has_it(tmp_path: Path) -> None:
    (tmp_path / "who.rttm").write_text("SPEAKER my%20rec 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\n")
    assert list(read_turns(tmp_path / "who.rttm")) == ["my rec"]
