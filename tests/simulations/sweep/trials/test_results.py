from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from common.errors import FedserError, UsageError
from server.reporting.formatting import kind_of_model
from simulations.sweep.trials import results

PUBLISHED = Path(__file__).parents[4] / "results"


def test_lines_come_back_and_a_cut_one_is_cut_off(tmp_path: Path) -> None:
    results.append(tmp_path, {"trial": "a"})
    with (tmp_path / results.FILE).open("a") as file:
        file.write('{"trial": "b", "te')
    assert results.read(tmp_path) == [{"trial": "a"}]
    results.mend(tmp_path)
    results.append(tmp_path, {"trial": "b"})
    assert results.read(tmp_path) == [{"trial": "a"}, {"trial": "b"}]
    assert (tmp_path / results.FILE).read_text().count("\n") == 2


def test_mending_nothing_leaves_nothing(tmp_path: Path) -> None:
    results.mend(tmp_path)
    assert results.read(tmp_path) == []


def test_an_edited_line_is_told(tmp_path: Path) -> None:
    (tmp_path / results.FILE).write_text('{"trial": "a"}\nnonsense\n{"trial": "b"}\n')
    with pytest.raises(FedserError, match="line 2 is no JSON"):
        results.read(tmp_path)


def test_a_figure_that_is_no_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.append(tmp_path, {"uar": float("nan")})
    assert results.read(tmp_path) == []


def test_the_same_settings_go_on_and_others_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    results.agree(out, {"seeds": "0", "federation.rounds": 5}, {"command": "first"})
    results.agree(out, {"seeds": "0", "federation.rounds": 5}, {"command": "second"})
    assert results.read_about(out)["command"] == "first"
    with pytest.raises(UsageError, match=r"other settings \(federation.rounds: federation.rounds was 5, is now 6\)"):
        results.agree(out, {"seeds": "0", "federation.rounds": 6}, {})


def test_what_is_passed_on_does_not_tell_where_things_lie() -> None:
    settings = {"data.root": "/srv/patients/emodb", "data.public": "", "data.sites": "a/b", "seed": 1}
    assert results.published(settings) == {**settings, "data.root": "emodb"}


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds no benchmark"):
        results.agree(tmp_path, {}, {})
    with pytest.raises(UsageError, match="holds no benchmark"):
        results.read_about(tmp_path)


def test_all_settings_but_one_that_isnt_known_yet_are_compared_first(tmp_path: Path) -> None:
    results.refuse_others(tmp_path / "new", {"seeds": "0"})
    results.agree(tmp_path / "out", {"seeds": "0", "recordings": 9}, {})
    results.refuse_others(tmp_path / "out", {"seeds": "0"})
    with pytest.raises(UsageError, match="seeds was '0', is now '1'"):
        results.refuse_others(tmp_path / "out", {"seeds": "1"})


def test_what_a_kill_left_before_the_benchmark_was_begun_is_no_other_thing(tmp_path: Path) -> None:
    for name in (results.LOCK, ".partial-0123456789abcdef"):
        (tmp_path / name).touch()
    assert not results.ours(tmp_path)


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(FedserError, match="cannot be read: Permission denied; name another folder"):
        results.ours(tmp_path)


def test_two_programs_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PATIENCE", 0.0)
    context = multiprocessing.get_context("fork")
    with results.lock(tmp_path):
        other = context.Process(target=_enter, args=(tmp_path,))
        other.start()
        other.join()
    assert other.exitcode == 3
    with results.lock(tmp_path):
        pass


def _enter(out: Path) -> None:
    try:
        with results.lock(out):
            raise SystemExit(0)
    except FedserError as error:
        raise SystemExit(3 if "another fedser benchmark is at work" in str(error) else 4) from None


def test_published_rows_of_before_there_were_kinds_say_what_their_models_are() -> None:
    rows = results.read(PUBLISHED / "emodb")
    assert not any("model.kind" in row["config"] for row in rows)
    found = {row["config"]["model.hidden"]: kind_of_model(row["config"]).partition(" ")[0] for row in rows}
    assert found[0] == "linear"
    assert {kind for hidden, kind in found.items() if hidden} <= {"BiLSTM"}
