"""fedser as a library: the same weights as the command's, and nothing left behind in the process that called it."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from common.cli import main
from common.cli.settings_flags import FLAGS as FLAG_TABLE
from common.errors import FederationError, UsageError
from simulations import load_model, load_result, open_corpus, run
from simulations.keywords import Keywords, keywords
from tests.simulations import tiny
from tests.simulations.job.test_simulate import same

SMALL = {name: value for name, value in tiny.SMALL.items() if name.startswith(("model.", "augment."))}
FLAGS: dict[str, Any] = {
    "corpus": "manifest",
    "held_out": "kfold:4:0",
    "sites": 2,
    "rounds": 2,
    "batch_size": 8,
    "workers": 0,
    "settings": SMALL,
}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    return tiny.write(tmp_path / "corpus")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a run over it, that all may read."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(folder / "cache"))
        run(**FLAGS, root=tiny.write(folder / "corpus"), out=folder / "out", progress=False)
    return folder


def state() -> dict[str, Any]:
    loggers = {name: logging.getLogger(name) for name in (None, "fedser", "fedser.client", "fedser.server", "flwr")}
    return {
        "threads": torch.get_num_threads(),
        "handlers": {name: [*log.handlers] for name, log in loggers.items()},
        "levels": {name: (log.level, log.propagate, log.disabled) for name, log in loggers.items()},
        "folder": os.getcwd(),  # noqa: PTH109
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "environment": {name: own for name, own in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "warnings": [*warnings.filters],
        "random": (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())),
    }


@pytest.fixture
def untouched() -> Iterator[None]:
    """Two threads, a level and a handler of the program's own are there afterwards, and all else is as it was."""
    torch.set_num_threads(2)
    logging.getLogger("flwr").setLevel(logging.WARNING)
    own = logging.NullHandler()
    logging.getLogger("fedser").addHandler(own)
    before = state()
    yield
    assert state() == before
    logging.getLogger("fedser").removeHandler(own)
    torch.set_num_threads(1)


def test_the_keywords_are_the_command_s_flags() -> None:
    """So that a flag that is added here or there is added at both."""
    hints = get_type_hints(Keywords)
    assert list(keywords()) == list(hints)
    for flag in FLAG_TABLE:
        name = flag.parameter().name
        assert flag.kind in (hints[name], *get_args(hints[name])), name


def test_each_keyword_is_documented_and_in_the_signature() -> None:
    parameters = inspect.signature(run).parameters
    assert set(parameters) == {*keywords(), "out", "progress", "settings"}
    for name, keyword in keywords().items():
        assert f"        {name}: {keyword.help}" in (run.__doc__ or "")


def command(*arguments: str) -> None:
    assert main.run(list(arguments)) == 0


def test_the_weights_are_the_command_s(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[model]\nprojection = 8\nhidden = 6\nattention = 4\ndropout = 0.1\n")
    asked = ["simulate", "--corpus", "manifest", "--root", str(manifest), "--out", str(tmp_path / "command")]
    asked += ["--config", str(tmp_path / "small.toml"), "--held-out", "kfold:4:0", "--sites", "2", "--rounds", "2"]
    flags: Keywords = {"corpus": "manifest", "root": manifest, "held_out": "kfold:4:0", "sites": 2, "rounds": 2}
    settings = {name: value for name, value in SMALL.items() if name.startswith("model.")}
    command(*asked)
    torch.set_num_threads(2)
    result = run(**flags, settings=settings, out=tmp_path / "library", progress=False)
    assert same(tmp_path / "command", tmp_path / "library")
    before, after = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("command", "library"))
    assert before["folds"][0]["test"] == after["folds"][0]["test"] == result.as_json()["folds"][0]["test"]
    assert before["config"] == after["config"]
    assert after["command"].startswith("simulations.run(corpus='manifest', root=")
    assert load_result(tmp_path / "library") == result
    assert result.folder == tmp_path / "library"


@pytest.mark.usefixtures("undrawn")
def test_a_keyword_goes_with_settings_that_have_none(manifest: Path, tmp_path: Path) -> None:
    """Neither is one without the other: a linear model needs statistics, and only it can do without the rest."""
    settings = {**SMALL, "model.statistics": "means"}
    flags = {**FLAGS, "rounds": 1, "settings": settings, "model_kind": "linear"}
    told = run(**flags, root=manifest, out=tmp_path / "out", progress=False).as_json()
    assert (told["config"]["model.kind"], told["config"]["model.statistics"]) == ("linear", "means")


def test_nothing_is_left_behind_where_it_fails(
    manifest: Path, tmp_path: Path, untouched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        os.chdir(tmp_path)
        os.environ["LEFT"] = "behind"
        signal.signal(signal.SIGTERM, lambda *_: None)
        warnings.simplefilter("ignore")
        logging.getLogger("fedser").setLevel(logging.DEBUG)
        torch.manual_seed(1)
        raise ValueError("broken")

    monkeypatch.setattr("client.app.train", failing)
    with pytest.raises(FederationError, match="round 1: 0 of 2 sites sent a sound update"):
        run(**FLAGS, root=manifest, out=tmp_path / "out", progress=False)


PRINTS_NOTHING = """
import sys
import threading
from simulations import run
if "torch" in sys.modules or "flwr" in sys.modules:
    raise SystemExit("torch is imported before it is needed")
result = run(corpus="manifest", root=sys.argv[1], held_out="kfold:4:0", sites=2, rounds=1, workers=int(sys.argv[2]),
             progress=False, settings={"model.hidden": 4, "model.projection": 4, "model.attention": 4})
if result.model().classes != ("anger", "happiness", "neutral", "sadness"):
    raise SystemExit(str(result.model().classes))
"""


@pytest.mark.slow
def test_it_prints_nothing(manifest: Path) -> None:
    """In a process of its own, where nobody has set up logging, and all that writes to the descriptors is seen."""
    sorted(manifest.parent.glob("00-*.npy"))[0].write_bytes(b"no matrix, of which the command would warn")
    code = [sys.executable, "-c", PRINTS_NOTHING, str(manifest), "1"]
    done = subprocess.run(code, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_with_progress_it_says_on_standard_error_what_the_command_says_and_leaves_nothing_behind(
    manifest: Path, untouched: None, capfd: pytest.CaptureFixture[str]
) -> None:
    run(**FLAGS, root=manifest, progress=True)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "kfold:4:0: 2 of 2 held-out UAR" in printed.err


def test_without_out_the_folder_lives_as_long_as_the_result(manifest: Path, tmp_path: Path) -> None:
    result = run(**FLAGS, root=manifest, progress=False)
    folder = result.folder
    assert folder is not None
    assert (folder / "report.html").is_file()
    path = sorted(manifest.parent.glob("*.npy"))[0]
    model = result.model()
    assert result.report(tmp_path / "page.html").read_text() == (folder / "report.html").read_text()
    del result
    gc.collect()
    assert not folder.exists()
    assert sum(model.predict(path).values()) == pytest.approx(1)


def test_a_temporary_folder_is_gone_where_the_run_failed(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with pytest.raises(UsageError, match="--min-sites is 7, fold kfold:4:0 has 2 sites"):
        run(**FLAGS, root=manifest, min_sites=7, progress=False)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("more", [{"epsilon": 8}, {"settings": {"privacy.noise_multiplier": 1.0}}])
def test_a_private_run_whose_account_would_vanish_is_refused(manifest: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="without out= or ledger=") as error:
        run(**{**FLAGS, **more}, root=manifest, progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("undrawn")
def test_a_private_run_with_a_ledger_of_its_own_keeps_its_account(manifest: Path, tmp_path: Path) -> None:
    private = {**FLAGS, "settings": {"augment.copies": 0}, "rounds": 1}
    private.pop("batch_size")
    result = run(**private, root=manifest, epsilon=8, ledger=tmp_path / "ledger", progress=False)
    assert result.privacy is not None
    assert {site: spent.steps for site, spent in result.privacy.sites.items()}.keys() == {"site-0", "site-1"}
    assert sorted(path.name for path in (tmp_path / "ledger").glob("*.jsonl")) == ["site-0.jsonl", "site-1.jsonl"]


def test_what_leaks_is_refused_and_named(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="normalise"):
        run(corpus="synthetic", epsilon=8, normalise="speaker", rounds=1, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"held_ou": "kfold:5"}, "run has no keyword 'held_ou'; did you mean held_out?"),
        ({"unit": "speaker"}, "run has no keyword 'unit'; did you mean "),
        (
            {"rounds": 2, "settings": {"federation.rounds": 3}},
            "settings has 'federation.rounds', which the keyword rounds",
        ),
        ({"settings": {"model.hiden": 3}}, "unknown setting 'model.hiden'; did you mean model.hidden?"),
        ({"rounds": "many"}, "federation.rounds is 'many', expected int"),
        ({"engine": "spark"}, "--engine is 'spark'"),
    ],
)
def test_a_mistake_is_one_line(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told.replace("?", r"\?")) as error:
        run(**{"corpus": "synthetic", "out": tmp_path / "out", "progress": False, **given})
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("undrawn")
def test_another_run_in_the_same_folder_sees_the_corpus_of_now(manifest: Path, tmp_path: Path) -> None:
    """What the process held of the first run is gone."""
    flags = {**FLAGS, "rounds": 1}
    first = run(**flags, root=manifest, out=tmp_path / "out", progress=False)
    tiny.write(tmp_path / "corpus", seed=1, each=1)
    second = run(**flags, root=manifest, out=tmp_path / "out", overwrite=True, progress=False)
    assert (first.corpus.utterances, second.corpus.utterances) == (64, 32)
    assert second == load_result(tmp_path / "out")
    run(**flags, root=manifest, out=tmp_path / "fresh", progress=False)
    assert same(tmp_path / "out", tmp_path / "fresh")


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_gone_on_with(made: Path, manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out", tmp_path / "out")
    first = load_result(tmp_path / "out")
    again = run(resume=tmp_path / "out", baselines=True, workers=0, progress=False)
    assert again.folds[0].test == first.folds[0].test
    assert first.summary is not None
    assert again.summary is not None
    assert first.summary.pooled_uar is None
    assert again.summary.pooled_uar is not None


def test_a_model_predicts_what_the_command_predicts(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((made / "corpus").glob("*.npy"))[0]
    assert main.run(["predict", "--model", str(made / "out"), "--json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)["probabilities"]
    assert load_model(made / "out").predict(path) == told
    assert list(told) == list(tiny.CLASSES)


def test_a_corpus_tells_what_it_holds(manifest: Path) -> None:
    next(manifest.parent.glob("00-anger-0.npy")).write_bytes(b"no matrix")
    corpus = open_corpus("manifest", manifest)
    assert len(corpus) == len(corpus.utterances) == 64
    assert corpus.classes == dict.fromkeys(tiny.CLASSES, 16)
    assert corpus.speakers == {f"{speaker:02}": 8 for speaker in range(8)}
    assert repr(corpus).startswith("<Corpus manifest at ")
    assert repr(corpus).endswith("64 utterances of 8 speakers; anger 16, happiness 16, neutral 16, sadness 16>")
    assert [(problem.kind, Path(problem.path).name) for problem in corpus.problems] == [
        ("unreadable", "00-anger-0.npy")
    ]
    assert corpus.preflight.utterances == 63
    some = open_corpus("manifest", manifest, classes=["anger", "sad"])
    assert some.classes == {"anger": 16, "sadness": 16}
    with pytest.raises(UsageError, match="--corpus is 'emo'"):
        open_corpus("emo", manifest)


def test_the_package_is_light() -> None:
    code = "import sys, simulations; sys.exit('torch' in sys.modules or 'simulations.api' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.usefixtures("undrawn")
def test_calls_of_two_threads_take_turns_and_give_what_each_gives_alone(manifest: Path, tmp_path: Path) -> None:
    def make(name: str, seed: int) -> None:
        run(root=manifest, out=tmp_path / name, progress=False, seed=seed, **{**FLAGS, "rounds": 1})

    make("one", 0)
    make("two", 1)
    threads = [threading.Thread(target=make, args=own) for own in (("one-again", 0), ("two-again", 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(tmp_path / "one", tmp_path / "one-again")
    assert same(tmp_path / "two", tmp_path / "two-again")
    assert not same(tmp_path / "one", tmp_path / "two")


def test_a_run_of_another_version_is_not_gone_on_with(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out", tmp_path / "out")
    settings = json.loads((tmp_path / "out/run.json").read_text())
    del settings["model.kind"]
    (tmp_path / "out/run.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"the run is of another version of fedser \(model\.kind is in one alone\)"):
        run(resume=tmp_path / "out", progress=False)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_shares_a_ledger_shares_its_budget_or_is_refused(manifest: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {**FLAGS, "root": manifest, "ledger": tmp_path / "ledger", "progress": False, "rounds": 1}
    first = run(**shared, epsilon=8, budget=50, out=tmp_path / "first")
    second = run(**shared, epsilon=8, out=tmp_path / "second")
    assert first.privacy is not None
    assert second.privacy is not None
    assert {own.budget for own in second.privacy.sites.values()} == {50.0}
    one, two = ([own.epsilon_total or 0 for own in of.sites.values()] for of in (first.privacy, second.privacy))
    assert all(before < after <= 50.0 for before, after in zip(one, two, strict=True))
    for other, line in (
        ({}, "has a budget of ε = 50, and a run without privacy would tell of its people without bound"),
        ({"epsilon": 8, "delta": 1e-6}, "the run's δ is 1e-06, the ledger's budget is at δ = 1e-05"),
        ({"epsilon": 8, "privacy_unit": "site"}, "whose noise the server adds and which counts in no site's ledger"),
    ):
        with pytest.raises(UsageError, match=line):
            run(**shared, **other, out=tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_an_empty_ledger_is_none(manifest: Path) -> None:
    with pytest.raises(UsageError, match="an account that vanishes is none"):
        run(root=manifest, epsilon=8, ledger="", progress=False, **FLAGS)
