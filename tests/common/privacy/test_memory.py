from __future__ import annotations

from typing import Any

import pytest
import torch

from common.config.kinds import KINDS
from common.config.settings import Config
from common.features.extractor import dimension, most_frames
from common.models.architectures import build_model
from common.privacy import memory
from common.privacy.memory import most_bytes
from common.privacy.per_sample.private_lstm import with_private_lstms
from common.privacy.recipe import private_settings

BILSTM = {"model.kind": "bilstm", "model.hidden": 12, "model.projection": 8, "model.attention": 5}
BASE = {**BILSTM, "privacy.max_physical_batch": 8}


def config(**more: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values(private_settings({"privacy.epsilon": 8.0, **own}))


def small(kind: str, **more: Any) -> dict[str, Any]:
    own = {**BASE, "model.kind": kind, **({"model.statistics": "means"} if kind == "linear" else {})}
    return {**own, **{name.replace("__", "."): value for name, value in more.items()}}


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_keeps_more_for_its_backward_pass(kind: str) -> None:
    own = config(**small(kind, privacy__max_seconds=6.0, model__layers=2, data__classes=["anger", "fear", "calm"]))
    width, frames = dimension(own.features), most_frames(own.features, 6.0)
    assert frames is not None
    emotion = with_private_lstms(build_model(width, 3, own))
    kept: dict[int, int] = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: note(kept, tensor), lambda tensor: tensor):
        loss = emotion(torch.randn(8, frames, width), torch.full((8,), frames)).sum()
    gradients = 8 * sum(parameter.numel() for parameter in emotion.parameters())
    assert 2 * (sum(kept.values()) + 4 * gradients) < most_bytes(own)
    assert loss.isfinite()


def note(kept: dict[int, int], tensor: torch.Tensor) -> torch.Tensor:
    kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return tensor


@pytest.mark.parametrize("kind", KINDS)
def test_it_counts_the_models_parameters(kind: str) -> None:
    own = config(**small(kind, data__classes=["anger", "fear", "calm"]))
    width = dimension(own.features)
    made = sum(parameter.numel() for parameter in build_model(width, 3, own).parameters())
    assert memory._parameters(own, width) == made
    before = torch.random.get_rng_state()
    assert memory._parameters(config(**small(kind)), width) > made  # of as many classes as there may be
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@pytest.mark.parametrize(
    "larger",
    [
        {"model.hidden": 40},
        {"model.layers": 2},
        {"model.projection": 80},
        {"model.attention": 50},
        {"privacy.max_physical_batch": 80},
        {"privacy.max_seconds": 600.0},
        {"features.windows": [10, 25, 50]},
        {"features.hop": 2},
        {"features.stack": 20},
    ],
)
def test_whatever_takes_more_memory_is_counted(unit: str, larger: dict[str, Any]) -> None:
    own = {**BASE, "privacy.unit": unit}
    if larger == {"features.stack": 20}:
        assert most_bytes(config(**{**own, **larger})) > 0.5 * most_bytes(config(**own))  # fewer frames, as much wider
    else:
        assert most_bytes(config(**{**own, **larger})) > 1.05 * most_bytes(config(**own))


@pytest.mark.parametrize(
    ("kind", "name", "larger"),
    [
        ("lstm", "model.hidden", 80),
        ("transformer", "model.heads", 8),
        ("transformer", "model.layers", 4),
        ("cnn1d", "model.kernel", 15),
        ("cnn1d", "model.layers", 5),
        ("dscnn", "model.hidden", 80),
        ("crnn3d", "model.kernel", 15),
        ("crnn3d", "features.log_mel", 80),
        ("crnn3d", "model.hidden", 80),
    ],
)
def test_what_makes_a_kind_take_more_memory_is_counted(kind: str, name: str, larger: int) -> None:
    assert most_bytes(config(**small(kind, **{name: larger}))) > 1.02 * most_bytes(config(**small(kind)))


def test_copies_of_a_recording_are_in_memory_together_where_recordings_are_hidden() -> None:
    few, many = ({**BASE, "privacy.multiplicity": copies} for copies in (1, 100))
    assert most_bytes(config(**many)) > 9 * most_bytes(config(**few))
    assert most_bytes(config(**many, privacy__unit="speaker")) == most_bytes(config(**few, privacy__unit="speaker"))


def test_an_encoder_that_convolves_samples_is_counted_in() -> None:
    encoder = {"encoder.sha256": "ab" * 32, "encoder.layer": "1", "encoder.layers": 2, "encoder.width": 96}
    own = Config().with_values({**encoder, "model.hidden": 0, "model.statistics": "rows"})
    assert most_bytes(own) > 393e6  # what a HuBERT of this size was seen to take for 20 s of sound
