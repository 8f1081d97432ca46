"""A model as a program uses it: a file, or the same signal in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from common.config.settings import Config
from common.data.normalise import Scaling
from common.errors import AudioError, UsageError
from common.features.extractor import dimension
from common.learning import saved_model
from common.learning.prediction import predict
from common.learning.recogniser import Recogniser, load_model
from common.models.architectures import build_model

CLASSES = ("anger", "neutral")
RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model and a second of noise, in stereo, at another rate than the model's."""
    made = tmp_path_factory.mktemp("model")
    config = Config().with_values({"model.hidden": 4, "model.projection": 4, "data.normalise": "running"})
    width = dimension(config.features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build_model(width, len(CLASSES), config)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    prior = Scaling(mean=torch.zeros(width), deviation=torch.ones(width), weight=300.0)
    saved_model.save(made / "model.safetensors", arrays, prior.arrays(), config, CLASSES)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(22050, 2))
    soundfile.write(made / "noise.wav", noise, 22050, subtype="PCM_16")
    return made


@pytest.fixture
def model(folder: Path) -> Recogniser:
    return load_model(folder)


def test_a_file_and_its_signal_give_the_same_figures(folder: Path, model: Recogniser) -> None:
    told = model.predict(folder / "noise.wav")
    assert list(told) == list(model.classes) == list(CLASSES)
    assert sum(told.values()) == pytest.approx(1)
    assert told == predict(saved_model.load(folder), folder / "noise.wav")
    assert told == model.predict(str(folder / "noise.wav"))
    for kind in ("float32", "float64", "int16"):
        signal, rate = soundfile.read(folder / "noise.wav", dtype=kind)
        assert signal.shape == (22050, 2)
        assert model.predict(signal, rate) == pytest.approx(told, abs=1e-6)
        assert model.predict(signal[:, 0], rate) != pytest.approx(told, abs=1e-6)


def test_the_rate_says_how_fast_a_signal_is(folder: Path, model: Recogniser) -> None:
    signal, rate = soundfile.read(folder / "noise.wav")
    assert model.predict(signal, 2 * rate) != pytest.approx(model.predict(signal, rate), abs=1e-6)


def test_threads_are_as_they_were(folder: Path, model: Recogniser) -> None:
    torch.set_num_threads(2)
    model.predict(folder / "noise.wav")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("signal", "rate", "told"),
    [
        (np.zeros(100, np.float32), None, "sampling_rate is None, expected that of the signal in Hz"),
        (np.zeros(100, np.float32), 0, "sampling_rate is 0"),
        (np.zeros((2, 16000), np.float32), RATE, r"has the shape \(2, 16000\), expected \(samples,\) or"),
        (np.zeros((1, 2, 3), np.float32), RATE, "expected .samples,. or .samples, channels."),
        (np.zeros(16000, np.uint8), RATE, "has the type uint8, expected floats, or whole numbers of 16 or 32 bits"),
    ],
)
def test_what_is_no_signal_is_refused(model: Recogniser, signal: np.ndarray, rate: int | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        model.predict(signal, rate)


def test_what_cannot_be_heard_is_refused_as_the_command_does(folder: Path, model: Recogniser) -> None:
    with pytest.raises(AudioError, match=r"the loudest sample is 0\.0"):
        model.predict(np.zeros(RATE, np.float32), RATE)
    with pytest.raises(AudioError, match=r"expected at least 0\.1 s"):
        model.predict(np.ones(10, np.float32), RATE)
    with pytest.raises(AudioError, match="no such file"):
        model.predict(folder / "absent.wav")
    with pytest.raises(UsageError, match="a file, which says its own; leave it out"):
        model.predict(folder / "noise.wav", RATE)


def test_a_speakers_signals_are_heard_together_and_in_turn(model: Recogniser, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    signals = [rng.normal(scale=0.1, size=RATE).astype(np.float32) for _ in range(3)]
    alone = [model.predict(signal, RATE) for signal in signals]
    together = model.together(signals, RATE)
    assert all(one != other for one, other in zip(alone, together, strict=True))
    in_turn = [model.predict(signal, RATE, profile=tmp_path / "p.json") for signal in signals[:2]]
    assert in_turn[0] == alone[0]
    assert in_turn[1] != alone[1]
    [last] = model.together(signals[2:], RATE, profile=str(tmp_path / "p.json"))
    assert last == pytest.approx(together[2], abs=1e-6)
    assert last != pytest.approx(alone[2], abs=1e-5)
    assert model.together([]) == []


def test_of_several_it_says_which_cannot_be_heard_and_keeps_nothing(
    folder: Path, model: Recogniser, tmp_path: Path
) -> None:
    with pytest.raises(AudioError, match=r"^recordings\[1\]: no such file or directory$"):
        model.together([folder / "noise.wav", folder / "absent.wav"], profile=tmp_path / "p.json")
    with pytest.raises(AudioError, match=r"^no such file or directory$"):
        model.predict(folder / "absent.wav", profile=tmp_path / "p.json")
    assert not (tmp_path / "p.json").exists()


def test_what_does_not_adapt_warns_and_has_no_profile(folder: Path, model: Recogniser, tmp_path: Path) -> None:
    config = model.saved.config.with_values({"data.normalise": "global"})
    fixed = Recogniser(dataclasses.replace(model.saved, config=config))
    with pytest.warns(UserWarning, match="--together changes nothing: the model was trained with --normalise global"):
        told = fixed.together([folder / "noise.wav"])
    assert told == [fixed.predict(folder / "noise.wav")]
    with pytest.raises(UsageError, match="with --normalise global, and keeps nothing of a speaker"):
        fixed.predict(folder / "noise.wav", profile=tmp_path / "p.json")


def test_it_says_what_it_is(model: Recogniser, tmp_path: Path) -> None:
    assert repr(model) == "<Recogniser: anger, neutral; learnt from synthetic>"
    with pytest.raises(UsageError, match="there is no such file; expected the folder of a finished run"):
        load_model(tmp_path)
