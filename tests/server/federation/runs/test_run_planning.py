from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from common.config.settings import Config, flatten
from common.errors import CorpusError, UsageError
from common.progress import Display
from server.federation.folder.coordinator_folder import Folder
from server.federation.runs.run_folder import RunFolder
from server.federation.runs.run_planning import configured, place_inputs, plan_run, run_config
from tests.server.federation import example_folder
from tests.server.records.test_starting_model import SMALL, write
from tests.simulations import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return example_folder.folder(tmp_path / "federation")


def plan_of(folder: Folder, **settings: object) -> tuple[object, object]:
    with Display() as display:
        return plan_run(configured(settings), 3, folder, display, "fedser federation run")


def test_all_speakers_of_the_coordinators_recordings_are_test_speakers(folder: Folder) -> None:
    manifest = tiny.write(folder.held_out, speakers=3)
    with Display() as display:
        plan, kept = plan_run(configured({"data.root": str(manifest)}), 2, folder, display, "fedser federation run")
    assert plan.fold == "held-out"
    assert plan.test == ("00", "01", "02")
    assert plan.classes == tiny.CLASSES
    assert (plan.sites, plan.quorum, plan.skipped) == ((), 2, ())
    assert kept.tested == 24
    assert kept.settings["data.classes"] == "anger,happiness,neutral,sadness"  # the sites are told by name


def test_a_broken_recording_is_skipped_by_the_name_that_a_container_knows_it_by(folder: Folder) -> None:
    manifest = tiny.write(folder.held_out, speakers=3)
    (folder.held_out / "01-anger-0.npy").write_bytes(b"broken")
    with Display() as display:
        plan, kept = plan_run(configured({"data.root": str(manifest)}), 2, folder, display, "")
    assert plan.skipped == ("held-out/01-anger-0.npy",)
    assert kept.tested == 23
    assert [problem["kind"] for problem in kept.problems] == ["unreadable"]


def test_recordings_of_which_none_can_be_used_are_refused(folder: Folder) -> None:
    manifest = tiny.write(folder.held_out, speakers=1, each=1)
    for path in folder.held_out.glob("*.npy"):
        path.write_bytes(b"broken")
    with pytest.raises(CorpusError, match="none of its recordings can be used"):
        plan_of(folder, **{"data.root": str(manifest)})


def test_a_folder_of_noise_is_no_setting_of_a_deployment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder that no site has: leave it out") as error:
        configured({"data.root": str(tmp_path), "augment.noise": "0,25", "augment.noise_recordings": str(tmp_path)})
    assert "\n" not in str(error.value)


def test_without_recordings_here_the_classes_must_be_named(folder: Folder) -> None:
    with pytest.raises(UsageError, match="without --root there are no recordings here that tell the classes"):
        configured({"data.corpus": "emodb"})
    with pytest.raises(UsageError, match="--classes names an emotion twice: anger, anger"):
        plan_of(folder, **{"data.classes": ("ang", "angry")})
    with Display() as display:
        plan, _ = plan_run(configured({"data.classes": ("ang", "neu")}), 1, folder, display, "")
    assert plan.classes == ("anger", "neutral")
    assert plan.test == ()


def test_public_goes_with_its_model() -> None:
    with pytest.raises(UsageError, match="or an encoder in a private run, and --public MODEL go together"):
        configured({"data.normalise": "public", "data.classes": "anger,neutral"})


def test_where_the_coordinators_encoder_lies_is_told_to_nobody(folder: Folder, tmp_path: Path) -> None:
    own = {"encoder.sha256": "ab" * 32, "encoder.layer": "1", "encoder.layers": 1, "encoder.width": 8}
    for place, told in ((tmp_path / "elsewhere", ""), (folder.root.absolute() / "whisper", "whisper")):
        config = Config().with_values({**own, "encoder.path": str(place)})
        assert place_inputs(flatten(config), example_folder.run(folder))["encoder.path"] == told


def test_a_private_run_is_completed_by_the_recipe() -> None:
    config = configured({"data.classes": "anger,neutral", "privacy.epsilon": 8.0})
    assert (config.data.validation, config.data.normalise) == ("none", "utterance")


def test_paths_inside_the_folder_are_relative_and_small_files_from_elsewhere_are_copied(
    folder: Folder, tmp_path: Path
) -> None:
    run = example_folder.run(folder)
    labels = tmp_path / "labels.toml"
    labels.write_text('Wut = "anger"\n')
    model = tmp_path / "public"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    held_out = folder.held_out / "manifest.csv"
    own = {"data.root": str(held_out), "data.label_map": str(labels), "data.public": str(model)}
    told = place_inputs(flatten(Config().with_values(own)), run)
    assert told["data.root"] == "held-out/manifest.csv"
    assert told["data.label_map"] == "runs/run-1/label-map.toml"
    assert told["data.public"] == "runs/run-1/public.safetensors"
    assert (folder.root / "runs/run-1/label-map.toml").read_text() == labels.read_text()
    assert (folder.root / "runs/run-1/public.safetensors").read_bytes() == b"weights"
    elsewhere = place_inputs(flatten(Config().with_values({"data.root": str(tmp_path)})), run)
    assert elsewhere["data.root"] == str(tmp_path)


def test_a_file_that_is_not_there_is_one_line(folder: Folder, tmp_path: Path) -> None:
    run = example_folder.run(folder)
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be copied"):
        place_inputs(flatten(Config().with_values({"data.label_map": str(tmp_path / "nowhere.toml")})), run)


def test_the_serverapp_is_told_where_things_lie(folder: Folder) -> None:
    told = run_config({"seed": 1}, RunFolder(folder=folder, name="b"))
    assert told == {
        "seed": 1,
        "plan": "runs/b/plan.json",
        "out": "runs/b",
        "events": "runs/b/events.jsonl",
        "cache": "state/cache",
        "ledger": "state/ledger",
    }


def test_a_model_to_start_from_is_copied_once_with_whose_it_is(folder: Folder, tmp_path: Path) -> None:
    run, model = example_folder.run(folder), write(tmp_path / "model")
    own = flatten(Config().with_values({"federation.initial": str(model)}))
    told = place_inputs(own, run)
    assert told["federation.initial"] == "runs/run-1/initial.safetensors"
    first = run.file("initial.safetensors").read_bytes()
    assert first == (model / "model.safetensors").read_bytes()
    assert json.loads(run.file("initial.json").read_text())["sha256"] == hashlib.sha256(first).hexdigest()
    shutil.rmtree(model)  # a run that goes on needs it no more
    assert place_inputs(own, run) == told
    assert run.file("initial.safetensors").read_bytes() == first


def test_a_model_that_is_not_the_runs_kind_is_refused_before_the_run_has_a_folder(
    folder: Folder, tmp_path: Path
) -> None:
    model = str(write(tmp_path / "model"))
    given = {"data.classes": "neutral,anger", "federation.initial": model}
    with pytest.raises(
        UsageError, match=f"--initial {model}: the model has classes anger neutral, the run has neutral"
    ):
        plan_of(folder, **given)
    with pytest.raises(UsageError, match=r"features\.mfcc 13, the run has 40"):
        plan_of(folder, **{**given, "data.classes": "anger,neutral"})
    plan, _ = plan_of(folder, **{**SMALL, **given, "data.classes": "anger,neutral"})
    assert plan is not None
