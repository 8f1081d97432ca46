import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

from common.cli import main, options
from common.corpora.synthetic import MARKER

ROOT = Path(__file__).parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command here: its exit code, its output and its errors."""

    def command(*arguments: object) -> tuple[int, str, str]:
        code = main.run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def emodb(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("03a01Wa", "03a01Ta", "03a01Na", "08a01Wa", "08a01Ta", "08a01Na"):
        soundfile.write(tmp_path / f"{name}.wav", random.uniform(-0.3, 0.3, 4000), 16000)
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["corpus", "check", "--help"], ["corpus", "list"], ["encoders"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from common.cli import main; sys.argv = ['fedser', *sys.argv[1:]]\n"
        "try: main.main()\n"
        "finally: print({'torch', 'flwr', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "set()")
    assert "fedser" in done.stdout


def test_the_help_of_predict_has_an_example_of_each_way(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("predict", "--help")
    examples = [line.partition("fedser predict --model runs/emodb ")[2] for line in map(str.strip, out.splitlines())]
    assert (code, list(filter(None, examples))) == (
        0,
        ["a.wav b.flac", "--together ann/*.wav", "--profile ann.json a.wav"],
    )


def test_rings_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(main.app.registered_commands)
    monkeypatch.setattr(main, "RINGS", ("no_such_ring", "common.corpora"))
    main.join_rings()
    assert main.app.registered_commands == before


def test_a_ring_that_is_joined_again_adds_nothing() -> None:
    main.join_rings()
    before = len(main.app.registered_commands), len(main.app.registered_groups)
    main.join_rings()
    assert (len(main.app.registered_commands), len(main.app.registered_groups)) == before


def test_check_json_has_the_contract_s_keys(emodb: Path, run: Run) -> None:
    code, out, err = run("corpus", "check", "--corpus", "emodb", "--root", emodb, "--json")
    assert (code, err) == (0, "")
    assert list(json.loads(out)) == [
        "corpus",
        "utterances",
        "hours",
        "classes",
        "speakers",
        "sessions",
        "sample_rates",
        "problems",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--classes", "sad", "ang"),
        ("--classes", "sad,ang"),
        ("--classes", "sad ang"),
        ("--classes", "sad", "--classes=ang"),
    ],
)
def test_classes_however_they_are_written(words: tuple[str, ...], emodb: Path, run: Run) -> None:
    code, out, _ = run("corpus", "check", *words, "--corpus", "emodb", "--root", emodb, "--json")
    assert code == 0
    assert list(json.loads(out)["classes"].items()) == [("sadness", 2), ("anger", 2)]


def test_fold_classes_stops_at_the_next_option() -> None:
    assert options.fold_classes(["a", "--classes", "x", "y", "--json", "z"]) == ["a", "--classes", "x,y", "--json", "z"]
    assert options.fold_classes(["--classes"]) == ["--classes", ""]


def test_check_for_people(emodb: Path, run: Run) -> None:
    (emodb / "03a02Wa.wav").write_text("no audio")
    code, out, err = run("corpus", "check", "--corpus", "emodb", "--root", emodb)
    assert (code, err) == (0, "")
    assert "6 of 7 chosen utterances usable" in out
    assert f"{emodb / '03a02Wa.wav'}: not readable as audio" in out
    assert out.splitlines()[-1] == "usable (1 problem)"


def test_problems_are_capped(emodb: Path, run: Run) -> None:
    for number in range(10, 18):
        (emodb / f"03a{number}Wa.wav").touch()
    _, out, _ = run("corpus", "check", "--corpus", "emodb", "--root", emodb)
    assert "unreadable: 8" in out
    assert "and 3 more" in out


def test_strict_makes_a_problem_fatal(emodb: Path, run: Run) -> None:
    check = ("corpus", "check", "--corpus", "emodb", "--root", emodb, "--strict")
    assert run(*check)[0] == 0
    (emodb / "03a02Wa.wav").touch()
    code, out, _ = run(*check)
    assert code == 1
    assert out.splitlines()[-1].startswith("not usable (1 problem): --strict")


def test_an_unusable_corpus_says_what_to_do_beside_the_json(emodb: Path, run: Run) -> None:
    for path in emodb.glob("08*"):
        path.unlink()
    code, out, err = run("corpus", "check", "--corpus", "emodb", "--root", emodb, "--json")
    assert code == 1
    assert {problem["kind"] for problem in json.loads(out)["problems"]} == {"single-speaker-class"}
    assert "at least 2 speakers" in err
    assert err.count("\n") == 1


def test_a_synthetic_corpus_says_so(emodb: Path, run: Run) -> None:
    (emodb / MARKER).write_text('{"layout": "emodb"}')
    for name in ("emodb", "synthetic"):
        assert run("corpus", "check", "--corpus", name, "--root", emodb)[1].count("synthetic:") == 1
        _, out, err = run("corpus", "check", "--corpus", name, "--root", emodb, "--json")
        assert json.loads(out)["corpus"] == name
        assert "synthetic" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["corpus", "check", "--corpus", "emdb", "--root", "x"], 2, "did you mean emodb"),
        (["corpus", "check", "--root", "x"], 2, "--corpus is missing, expected one of iemocap"),
        (["corpus", "check", "--corpus", "emodb"], 2, "--root is missing"),
        (["corpus", "check", "--corpus", "emodb", "--root", "no-such-folder"], 1, "no-such-folder does not exist"),
        (["corpus", "check", "--no-such-option"], 2, "No such option"),
        (["corpus", "chek"], 2, "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_a_code(arguments: list[str], code: int, message: str, run: Run) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("fedser: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c(interruption: BaseException, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    monkeypatch.setattr("common.curation.selection.list_corpus", interrupt)
    assert run("corpus", "check", "--corpus", "emodb", "--root", "x") == (130, "", "fedser: error: interrupted\n")


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("common.curation.selection.list_corpus", bug)
    with pytest.raises(ZeroDivisionError):
        run("corpus", "check", "--corpus", "emodb", "--root", "x")


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "from common.cli import main; import sys; sys.argv = ['fedser', 'corpus', 'list']; main.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""


def test_list_json(run: Run) -> None:
    code, out, _ = run("corpus", "list", "--json")
    assert code == 0
    assert list(json.loads(out)) == list(options.CORPORA)
    assert "Busso" in json.loads(out)["iemocap"]["cite"]


def test_the_home_is_found_where_a_shell_leaves_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    given = ["--root=~/emodb", "~/a.wav", "~", "--out", "~/x", "--speaker=~x", "a~/b", "--held-out=speaker:~"]
    meant = ["--root=/home/anna/emodb", "/home/anna/a.wav", "/home/anna", "--out", "/home/anna/x", *given[5:]]
    assert options.expand_home(given) == meant
