import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from common.config.kinds import BILSTM
from common.config.kinds import KINDS as TRAINED
from common.config.kinds import LINEAR as LINEAR_KIND
from common.errors import FedserError
from common.learning import saved_model
from recogniser.export.graphs import FEATURES, FRONT, MODEL, SOUND, WINDOW, graphs
from recogniser.export.parity import FEATURES_BOUND, SOUND_BOUND, refuse_other_answers
from tests.recogniser.saved import save_model

LINEAR = {"model__hidden": 0}
KINDS: dict[str, dict[str, Any]] = {
    "BiLSTM": {},
    "two layers": {"model__layers": 2, "model__statistics": "means"},
    "LSTM": {"model__kind": "lstm", "model__layers": 2},
    "means": {**LINEAR, "model__statistics": "means", "data__normalise": "global"},
    "contours": {**LINEAR, "model__statistics": "contours", "data__normalise": "utterance"},
    "contours of rows": {**LINEAR, "model__statistics": "contours", "features__stack": 1, "features__deltas": 0},
    "rows": {**LINEAR, "model__statistics": "rows", "data__normalise": "speaker"},
    "transformer": {"model__kind": "transformer", "model__layers": 2},
    "odd width": {"model__kind": "transformer", "model__projection": 7, "model__heads": 1},
    "cnn1d": {"model__kind": "cnn1d", "model__layers": 2, "model__hidden": 8},
    "dscnn": {"model__kind": "dscnn", "model__layers": 3, "model__kernel": 5},
    "crnn3d": {"model__kind": "crnn3d", "model__hidden": 6, "features__log_mel": 13},
    "two windows": {"model__kind": "crnn3d", "model__hidden": 6, "features__windows": "25,50", "features__log_mel": 6},
    "8 kHz": {"features__sampling_rate": 8000, "features__deltas": 2, "features__pitch": False},
}
SHORT = ((1, 0.1), (3, 0.8))


@pytest.mark.parametrize("own", KINDS.values(), ids=KINDS)
def test_every_kind_says_what_the_model_says_and_a_broken_weight_is_seen(tmp_path: Path, own: dict[str, Any]) -> None:
    saved = saved_model.load(save_model(tmp_path, **own))
    made = graphs(saved, FEATURES)
    trials = refuse_other_answers(made, saved, FEATURES, sounds=SHORT)
    assert {(trial.file, trial.unit) for trial in trials} == {(MODEL, "rows"), (WINDOW, "seconds")}
    assert all(trial.difference <= FEATURES_BOUND for trial in trials)
    with pytest.raises(FedserError, match=re.escape(f"{MODEL} is not the model: its probabilities are up to")):
        refuse_other_answers({**made, MODEL: damaged(made[MODEL], -1)}, saved, FEATURES, sounds=SHORT)


@pytest.mark.parametrize("kind", ["BiLSTM", "contours"])
def test_from_sound_too(tmp_path: Path, kind: str) -> None:
    saved = saved_model.load(save_model(tmp_path, **KINDS[kind]))
    made = graphs(saved, SOUND)
    trials = refuse_other_answers(made, saved, SOUND, sounds=SHORT)
    assert {(trial.file, trial.batch) for trial in trials} == {(name, n) for name in (MODEL, WINDOW) for n in (1, 3)}
    assert all(trial.difference <= SOUND_BOUND for trial in trials)
    for file, seen in ((MODEL, MODEL), (FRONT, WINDOW)):
        with pytest.raises(FedserError, match=re.escape(f"{seen} is not the model: its probabilities are up to")):
            refuse_other_answers({**made, file: damaged(made[file], 0)}, saved, SOUND, sounds=SHORT)


def test_no_kind_is_forgotten() -> None:
    named = {str(own.get("model__kind", BILSTM.name)) for own in KINDS.values() if own.get("model__hidden") != 0}
    assert {LINEAR_KIND.name, *named} == set(TRAINED)


def damaged(graph: onnx.ModelProto, which: int) -> onnx.ModelProto:
    """A copy with one of its matrices turned about."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    matrices = [own for own in copy.graph.initializer if len(own.dims) == 2 and own.data_type == 1]
    chosen = matrices[which]
    chosen.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(chosen)[::-1].copy(), chosen.name))
    return copy


@pytest.mark.slow
def test_the_default_model_at_all_sizes(tmp_path: Path) -> None:
    usual = {"model__projection": 128, "model__hidden": 128, "model__attention": 64}
    saved = saved_model.load(save_model(tmp_path, **usual))
    trials = refuse_other_answers(graphs(saved, SOUND), saved, SOUND)
    assert {trial.batch for trial in trials} == {1, 2, 3, 4, 5}
    assert (min(trial.size for trial in trials), max(trial.size for trial in trials)) == (0.1, 30.0)


def test_what_does_not_run_is_refused(tmp_path: Path) -> None:
    saved = saved_model.load(save_model(tmp_path))
    made = graphs(saved, FEATURES)
    bias = next(own for own in made[MODEL].graph.initializer if list(own.dims) == [4])
    bias.CopyFrom(numpy_helper.from_array(np.zeros(5, dtype=np.float32), bias.name))
    with pytest.raises(
        FedserError,
        match=r"^model\.onnx is no graph that ONNX Runtime takes: .*Incompatible dimensions; nothing is written$",
    ):
        refuse_other_answers(made, saved, FEATURES, sounds=SHORT)


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    saved = saved_model.load(save_model(tmp_path))
    made = graphs(saved, FEATURES)
    bias = next(own for own in made[MODEL].graph.initializer if list(own.dims) == [4])
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, dtype=np.float32), bias.name))
    with pytest.raises(FedserError, match=r"model\.onnx is not the model: its probabilities are up to nan off"):
        refuse_other_answers(made, saved, FEATURES, sounds=SHORT)
