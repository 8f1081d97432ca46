import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import safetensors.numpy
from typer.testing import CliRunner

from common.cli.main import app, join_rings
from common.config.settings import Config
from common.errors import FedserError, UsageError
from common.learning import saved_model
from common.learning.prediction import predict_signal
from common.models.architectures import build_model
from recogniser.export import exporting
from recogniser.export.trial_sounds import trial_sounds
from recogniser.listening.exported_model import ExportedModel
from tests.recogniser.saved import CLASSES, save_model

USUAL = {"model__projection": 128, "model__hidden": 128, "model__attention": 64}
WITHOUT_TORCH = """
import sys
for name in ("torch", "torchaudio", "librosa", "flwr", "onnx"):
    sys.modules[name] = None
import json, numpy as np, onnxruntime
folder, sound = sys.argv[1:]
about = json.load(open(folder + "/model.json"))
found = onnxruntime.InferenceSession(folder + "/model.onnx").run(None, {"sound": np.load(sound)[None]})[0][0]
print(json.dumps(dict(zip(about["classes"], found.tolist()))))
"""


def exported(folder: Path, *more: str, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """A small model's export by the command: the folder, and what it said of it."""
    out = folder / "out"
    join_rings()
    result = CliRunner().invoke(
        app, ["export", "--model", str(save_model(folder / "run", **settings)), "--out", str(out), "--json", *more]
    )
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout)


def test_the_exported_file_alone_says_what_predict_says(tmp_path: Path) -> None:
    """In a process that has neither torch nor fedser."""
    (tmp_path / "run").mkdir()
    confusion = [[2 * (i == j) + 1 for j in range(len(CLASSES))] for i in range(len(CLASSES))]
    result = {"corpus": {"classes": CLASSES}, "folds": [{"test": {"confusion": confusion}}]}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    out, record = exported(tmp_path)
    assert ExportedModel.load(out).held_out == dict.fromkeys(CLASSES, (3, 6))
    saved = saved_model.load(tmp_path / "run")
    [[sound]] = trial_sounds(16_000, ((1, 1.234),))
    np.save(tmp_path / "sound.npy", sound)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(out), str(tmp_path / "sound.npy")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, cwd=tmp_path).stdout)
    wanted = predict_signal(saved, sound, 16_000)
    assert list(found) == list(wanted) == record["classes"] == list(CLASSES)
    assert found == pytest.approx(wanted, abs=1e-3)
    _check_record(out, record)


def _check_record(out: Path, record: dict[str, Any]) -> None:
    assert json.loads((out / "model.json").read_text()) == record
    assert sorted(path.name for path in out.iterdir()) == ["front.onnx", "model.json", "model.onnx", "window.onnx"]
    for name, digest in record["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
        graph = onnx.load(out / name)
        onnx.checker.check_model(graph, full_check=True)
        told = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
        assert told.items() <= record.items()
        assert told["classes"] == list(CLASSES)
    assert (record["format"], record["input"], record["int8"], record["normalise"]) == (1, "sound", False, "running")
    assert (record["dimension"], len(record["columns"]), record["row_ms"]) == (264, 88, 30)
    assert (len(record["prior"]["mean"]), record["prior"]["rows"]) == (264, 300)
    assert record["context"] == {"left": 6, "right": 6}
    assert record["model_sha256"] == hashlib.sha256((out.parent / "run/model.safetensors").read_bytes()).hexdigest()
    assert max(trial["seconds"] for trial in record["parity"]) == 30


@pytest.mark.slow
def test_in_eight_bits_it_is_a_quarter_and_says_nearly_the_same(tmp_path: Path) -> None:
    path = save_model(tmp_path / "run", **USUAL)
    sizes = {}
    for name, eight_bits in (("whole", False), ("eight", True)):
        exporting.export(path, tmp_path / name, "features", eight_bits=eight_bits)
        sizes[name] = (tmp_path / name / "model.onnx").stat().st_size
    assert sizes["eight"] <= 0.27 * sizes["whole"]
    scaling = saved_model.load(path).scaling
    mean, deviation = scaling.mean.numpy()[None], scaling.deviation.numpy()[None]
    generator = np.random.default_rng(0)
    labels: dict[str, list[int]] = {name: [] for name in sizes}
    runs = {name: onnxruntime.InferenceSession(tmp_path / name / "model.onnx").run for name in sizes}
    for _ in range(60):
        drawn = generator.normal(size=(1, 33, 264)) + 3 * generator.normal(size=(1, 1, 264))
        rows = mean + deviation * drawn.astype(np.float32)
        feed = {"features": rows, "lengths": np.array([33]), "mean": mean, "deviation": deviation}
        for name, own in labels.items():
            own.append(int(runs[name](None, feed)[0].argmax()))
    assert len(set(labels["whole"])) > 1
    assert np.mean(np.equal(labels["whole"], labels["eight"])) >= 0.95


@pytest.mark.parametrize(
    "own",
    [
        {"encoder__components": 5, "model__hidden": 0, "model__statistics": "rows", "data__normalise": "global"},
        {"encoder__layer": "weighted", "encoder__pool": "frames", "encoder__beside": True},
        {"encoder__layer": "weighted", "encoder__beside": True, "model__kind": "cnn1d", "data__normalise": "speaker"},
    ],
    ids=["components", "weighed frames", "weighed statistics"],
)
def test_a_model_with_an_encoder_takes_features_alone(tmp_path: Path, own: dict[str, Any]) -> None:
    encoder = {"encoder__sha256": "ab" * 32, "encoder__layer": "1", "encoder__layers": 3, "encoder__width": 8}
    path = save_model(tmp_path / "run", **{**encoder, **own})
    with pytest.raises(UsageError, match="--input sound: the model has a public encoder in front"):
        exporting.export(path, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/front.onnx").write_text("an older export's")
    record = exporting.export(path, tmp_path / "out", "features")
    assert sorted(child.name for child in (tmp_path / "out").iterdir()) == ["model.json", "model.onnx"]
    assert (record["columns"], record["context"], record["features"]["encoder"]["sha256"]) == ([], None, "ab" * 32)


def test_a_model_of_matrices_takes_features_alone(tmp_path: Path) -> None:
    usual = Config().with_values({"model.hidden": 0, "model.statistics": "contours", "data.normalise": "global"})
    arrays = {name: tensor.numpy() for name, tensor in build_model(6, len(CLASSES), usual).state_dict().items()}
    scaling = {name: np.ones(6, dtype=np.float32) for name in ("mean", "deviation")}
    saved_model.save(tmp_path / "run.safetensors", arrays, scaling, usual, CLASSES)
    with pytest.raises(UsageError, match="--input sound: the model learnt from matrices of features; use --input"):
        exporting.export(tmp_path / "run.safetensors", tmp_path / "out")
    assert exporting.export(tmp_path / "run.safetensors", tmp_path / "out", "features")["dimension"] == 6
    assert not (tmp_path / "out/front.onnx").exists()


def test_nothing_is_written_of_what_is_refused(tmp_path: Path) -> None:
    path = save_model(tmp_path / "run")
    tensors = dict(safetensors.numpy.load_file(path))
    tensors["model.lstm.weight_hh_l0"][0, 0] = np.nan
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(tensors, path, metadata)
    with pytest.raises(FedserError, match=r"its probabilities are up to nan off .* nothing is written"):
        exporting.export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=r"model\.safetensors: it is a file, expected a folder"):
        exporting.export(path, path)
    with pytest.raises(UsageError, match="--input wave: expected sound or features"):
        exporting.export(path, tmp_path / "out", "wave")
