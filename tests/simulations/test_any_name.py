"""Names of any bytes, of folders, files, sites, speakers, in whatever a command prints and leaves."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from common.cli import main
from common.escaping import escaped
from server.reporting.run_record import load_result
from tests.common.examples import tone
from tests.server.reporting.test_artifacts import EACH
from tests.simulations import tiny

SMALL = """
[model]
projection = 8
hidden = 6
attention = 4
[augment]
copies = 0
[federation]
rounds = 1
refit = false
"""
CASIA = ("angry", "sad")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the tiny corpus, trained once."""
    from simulations import run

    folder = tmp_path_factory.mktemp("trained")
    corpus = tiny.write(folder / "corpus", speakers=4)
    own: dict[str, Any] = {"model.projection": 8, "model.hidden": 6, "model.attention": 4, "augment.copies": 0}
    run(corpus="manifest", root=corpus, held_out="kfold:4:0", sites=2, rounds=1, refit=False, workers=0, settings=own,
        out=folder / "run")  # fmt: skip
    return folder / "run"


@pytest.fixture
def fedser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The program in this process, in a folder of its own: what it prints, every byte of it UTF-8."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "small.toml").write_text(SMALL)

    def run(*arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        given = [str(argument) for argument in arguments]
        monkeypatch.setattr("sys.argv", ["fedser", *given])
        assert main.run(given) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        (out + err).encode()
        assert "Traceback" not in err
        return out

    return run


def respelled(manifest: Path, name: str) -> Path:
    """Speaker 02 and the site s1 have the name, as a manifest in UTF-8 can write it."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["speaker"] = name if row["speaker"] == "02" else row["speaker"]
        row["site"] = name if row["site"] == "s1" else row["site"]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.mark.parametrize("name", EACH)
def test_any_name_is_checked_predicted_exported_and_put_into_a_kit(
    tmp_path: Path, model: Path, name: bytes, fedser: Any
) -> None:
    folder = tmp_path / "made" / os.fsdecode(name)
    manifest = respelled(tiny.write(folder, speakers=4), escaped(os.fsdecode(name)))
    (folder / "broken.npy").write_bytes(b"none")
    with manifest.open("a", encoding="utf-8") as file:
        file.write("broken.npy,anger,03,f,s0,train\n")
    assert "usable (1 problem)" in fedser("corpus", "check", "--corpus", "manifest", "--root", manifest)
    checked = json.loads(fedser("corpus", "check", "--corpus", "manifest", "--root", manifest, "--json"))
    [problem] = checked["problems"]
    assert problem["path"] == escaped(str(folder / "broken.npy"))

    stem = name[:200].replace(b"/", b"")
    sound = shutil.copy(tone(tmp_path / "a.wav"), folder / os.fsdecode(stem + b".wav"))
    matrix = shutil.copy(folder / "03-anger-0.npy", folder / os.fsdecode(stem + b".npy"))
    shutil.copytree(model, own := tmp_path / "run" / os.fsdecode(name))
    lines = fedser("predict", "--model", own, "--", matrix, matrix).splitlines()
    assert len(lines) == 2
    told = json.loads(fedser("predict", "--json", "--model", own, "--", matrix))
    assert told["path"] == escaped(str(matrix))
    fedser("predict", "--model", own, "--", sound, code=1)  # the model knows matrices: one line

    made = tmp_path / "made-up" / os.fsdecode(name)
    fedser("corpus", "synthesize", made, "--layout", "manifest", "--speakers", "2", "--utterances", "4")
    checked = json.loads(fedser("corpus", "check", "--corpus", "synthetic", "--root", made, "--json", code=1))
    assert checked["utterances"] == 4

    kits = tmp_path / "kits" / os.fsdecode(name)
    fedser(
        "federation", "init", kits, "--host", "localhost", "--sites", "a1,b1", "--trial-keys", "--classes", "anger,sad"
    )
    for kit in ("a1", "b1"):
        assert "site.toml" in {Path(file).name for file in zipfile.ZipFile(kits / "sites" / f"{kit}.zip").namelist()}
    fedser("federation", "status", "--dir", kits)


@pytest.mark.parametrize("name", EACH)
def test_a_run_of_any_name_is_trained_resumed_and_read(tmp_path: Path, name: bytes, fedser: Any) -> None:
    own = os.fsdecode(name)
    manifest = respelled(tiny.write(tmp_path / "c" / own, speakers=8), escaped(own))
    wish = ["simulate", "--corpus", "manifest", "--root", manifest, "--config", "small.toml", "--workers", "0"]
    wish += ["--held-out", "kfold:4:0", "--sites", "column", "--validation", "none"]
    out, ledger = tmp_path / "out" / own, tmp_path / "ledgers" / own
    fedser(*wish, "--epsilon", "8", "--ledger", ledger, "--out", out)
    assert load_result(out).privacy is not None
    fedser("simulate", "--resume", out, "--workers", "0")
    assert (out / "report.html").exists()
    assert "utterance" in fedser("privacy", "ledger", ledger)


def test_a_folder_of_other_bytes_is_a_corpus(tmp_path: Path, fedser: Any) -> None:
    """As CASIA's archive is unpacked where nobody says that its names are in GBK: speakers and sites are named so."""
    speakers = [os.fsdecode(text.encode("gbk")) for text in ("刘畅", "王哲", "赵全银", "赵作祥")]
    for number, speaker in enumerate(speakers):
        for label, emotion in enumerate(CASIA):
            (folder := tmp_path / "casia" / speaker / emotion).mkdir(parents=True)
            shutil.copy(tone(tmp_path / "a.wav", hz=150 + 60 * label, seed=number), folder / "201.wav")
    checked = json.loads(fedser("corpus", "check", "--corpus", "casia", "--root", "casia", "--json"))
    assert set(checked["speakers"]) == set(map(escaped, speakers))
    (tmp_path / "casia" / speakers[0] / "sad" / "202.wav").write_bytes(b"none")
    wish = ["--held-out", f"speaker:{speakers[0]}", "--sites", "speaker", "--config", "small.toml", "--workers", "0"]
    fedser("simulate", "--corpus", "casia", "--root", "casia", *wish, "--baselines", "--out", "out")
    done = load_result("out")
    assert done.folds[0].test_speakers == (escaped(speakers[0]),)
    [problem] = done.problems or ()
    assert problem.path == f"{tmp_path}/casia/{escaped(speakers[0])}/sad/202.wav"
