import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from common.audio import reading
from common.config.settings import Config, DataConfig, FeatureConfig, ModelConfig
from common.data.normalise import Scaling
from common.errors import AudioError
from common.features.extractor import dimension, extract
from common.learning import prediction
from common.learning.prediction import predict, predict_signal
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model
from tests.common.examples import tone

SMALL = FeatureConfig(mfcc=4, deltas=0, pitch=False, stack=1)
WIDTH = dimension(SMALL)
CLASSES = ("anger", "neutral", "sadness")


def saved(mode: str = "speaker") -> SavedModel:
    config = Config(
        data=DataConfig(normalise=mode), features=SMALL, model=ModelConfig(projection=6, hidden=5, attention=4)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(WIDTH, len(CLASSES), config).eval()
    scaling = Scaling(mean=torch.full((WIDTH,), -3.0), deviation=torch.full((WIDTH,), 20.0))
    return SavedModel(model=model, scaling=scaling, config=config, classes=CLASSES)


def by_hand(model: SavedModel, features: torch.Tensor) -> dict[str, float]:
    with torch.no_grad():
        logits = model.model(features[None], torch.tensor([len(features)]))[0]
    return dict(zip(CLASSES, torch.softmax(logits, 0).tolist(), strict=True))


@pytest.mark.parametrize("mode", ["speaker", "global"])
def test_a_lone_recording_is_scaled_by_the_training_statistics(tmp_path: Path, mode: str) -> None:
    path, model = tone(tmp_path / "x.wav"), saved(mode)
    features = extract(reading.load(path, SMALL.sampling_rate), SMALL)
    told = predict(model, path)
    assert told == pytest.approx(by_hand(model, (features + 3.0) / 20.0))
    assert list(told) == list(CLASSES)
    assert sum(told.values()) == pytest.approx(1.0)


def test_a_model_of_utterances_scales_by_the_utterance(tmp_path: Path) -> None:
    path, model = tone(tmp_path / "x.wav"), saved("utterance")
    features = extract(reading.load(path, SMALL.sampling_rate), SMALL)
    own = (features - features.mean(0)) / features.std(0, correction=0)
    assert predict(model, path) == pytest.approx(by_hand(model, own), abs=1e-5)
    other = dataclasses.replace(model, scaling=Scaling(mean=torch.zeros(WIDTH), deviation=torch.ones(WIDTH)))
    assert predict(other, path) == predict(model, path)


def test_a_feature_matrix(tmp_path: Path) -> None:
    path, model = tmp_path / "x.npy", saved()
    matrix = np.random.default_rng(0).normal(size=(1, WIDTH))
    np.save(path, matrix)
    expected = by_hand(model, (torch.from_numpy(matrix).float() + 3.0) / 20.0)
    assert predict(model, path) == pytest.approx(expected)


def test_prediction_leaves_no_gradient_and_no_trace(tmp_path: Path) -> None:
    path, model = tone(tmp_path / "x.wav"), saved()
    assert predict(model, path) == predict(model, path)
    assert all(p.grad is None for p in model.model.parameters())


def test_other_features_than_the_models_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, WIDTH + 1)))
    with pytest.raises(AudioError, match=rf"^{WIDTH + 1} features a frame, the model was trained on {WIDTH}$"):
        predict(saved(), tmp_path / "x.npy")
    # A model of matrices is no use for a recording.
    model = saved()
    matrices = dataclasses.replace(model, scaling=Scaling(mean=torch.zeros(88), deviation=torch.ones(88)))
    with pytest.raises(AudioError, match=rf"^{WIDTH} features a frame, the model was trained on 88$"):
        predict(matrices, tone(tmp_path / "x.wav"))


def test_a_recording_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no audio")
    for path in (tmp_path / "x.wav", tmp_path / "none.wav", tone(tmp_path / "short.wav", seconds=0.05)):
        with pytest.raises(AudioError) as refused:
            predict(saved(), path)
        assert "\n" not in str(refused.value)
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(AudioError, match=r"not readable as a \.npy array of numbers"):
        predict(saved(), tmp_path / "x.npy")


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("none.wav", "none.npy"):
        with pytest.raises(AudioError, match=r"^no such file or directory$"):
            predict(saved(), tmp_path / name)
    with pytest.raises(AudioError, match=r"^is a directory$"):
        predict(saved(), tmp_path)
    path = tone(tmp_path / "x.wav")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(AudioError, match=r"^permission denied$"):
        predict(saved(), path)


def test_a_long_recording_says_so_and_of_more_than_the_most_the_first_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "MOST_SECONDS", 63.0)
    lines: list[str] = []
    model, path = saved(), tone(tmp_path / "x.wav", seconds=66)
    whole, rate = reading.read(path)
    told = predict(model, path, lines.append)
    assert told == predict_signal(model, whole, rate, lines.append)
    assert told == predict_signal(model, whole[: 63 * rate], rate, lines.append)
    cut = "cut it into utterances of some seconds and give each, for a label is one utterance's"
    over = f"over 1.05 minutes long, the first 1.05 give its one label; {cut}"
    assert lines == [over, over, f"1.1 minutes long, and gets one label; {cut}"]


def test_what_a_header_gets_wrong_is_said_and_all_of_it_used(tmp_path: Path) -> None:
    path, model, lines = tone(tmp_path / "x.wav"), saved(), list[str]()
    told = predict(model, path, lines.append)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = bytes(4)
    path.write_bytes(content)
    assert lines == []
    assert predict(model, path, lines.append) == told
    assert lines == ["its header says that it holds 0 bytes of sound, 9600 are there; all are used"]
