import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.settings import (
    STRATEGIES,
    AugmentConfig,
    Config,
    DataConfig,
    FeatureConfig,
    FederationConfig,
    ModelConfig,
    TextConfig,
    TrainingConfig,
    flatten,
    read_toml,
)
from common.errors import UsageError

shares = st.floats(0.0, 0.9, allow_subnormal=False)
words = st.text("abcdefghij/._-", min_size=1, max_size=12)
configs = st.builds(
    Config,
    seed=st.integers(0, 2**31 - 1),
    data=st.builds(
        DataConfig,
        corpus=words,
        root=st.text(max_size=20),
        classes=st.lists(words, max_size=6).map(tuple),
        sites=st.sampled_from(["4", "session", "column", "dirichlet:3:0.5"]),
        normalise=st.sampled_from(["speaker", "utterance", "global"]),
        strict=st.booleans(),
    ),
    features=st.builds(
        FeatureConfig,
        windows=st.lists(st.integers(5, 200), min_size=1, max_size=3).map(tuple),
        mfcc=st.integers(0, 128),
        energy=st.just(True),
        pitch=st.booleans(),
        stack=st.integers(1, 100),
    ),
    augment=st.builds(
        AugmentConfig,
        copies=st.integers(1, 100),
        noise=st.one_of(st.just(()), st.tuples(st.floats(-50, 100), st.floats(-50, 100)).map(sorted).map(tuple)),
        time_width=shares,
    ),
    model=st.builds(ModelConfig, layers=st.integers(1, 2), dropout=shares),
    text=st.builds(TextConfig, buckets=st.integers(0, 2**18), words=st.integers(1, 5), weight=st.floats(0.01, 100.0)),
    training=st.builds(
        TrainingConfig,
        learning_rate=st.floats(1e-9, 10.0),
        optimizer=st.sampled_from(["adamw", "sgd"]),
        label_smoothing=shares,
        class_weights=st.sampled_from(["own", "pooled", "none"]),
    ),
    federation=st.builds(FederationConfig, strategy=st.sampled_from(STRATEGIES), fraction=st.floats(1e-6, 1.0)),
)


@settings(max_examples=40, deadline=None)
@given(configs)
def test_a_flat_configuration_comes_back(config: Config) -> None:
    flat = flatten(config)
    assert Config().with_values(flat) == config
    assert config.with_values({}) == config
    assert Config().with_values(json.loads(json.dumps(flat))) == config
    as_text = {name: str(value) for name, value in flat.items()}
    assert Config().with_values(as_text) == config


@settings(max_examples=40, deadline=None)
@given(configs)
def test_a_configuration_as_toml_tables_comes_back(config: Config) -> None:
    nested: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))  # tuples become lists, as in TOML
    nested["encoder"] = nested["features"].pop("encoder")
    flat = {"seed": nested.pop("seed")}
    flat |= {f"{section}.{key}": value for section, values in nested.items() for key, value in values.items()}
    assert Config().with_values(flat) == config


def test_settings_are_frozen_and_named() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        ModelConfig("bilstm")  # type: ignore[call-arg]
    assert hash(Config()) == hash(Config())


def test_some_values_are_replaced_and_the_others_stay() -> None:
    config = Config().with_values({"seed": 3, "training.batch_size": 7})
    other = config.with_values({"training.momentum": 0.5, "model.hidden": "33"})
    changed = {"seed": 3, "training.batch_size": 7, "training.momentum": 0.5, "model.hidden": 33}
    assert flatten(other) == flatten(Config()) | changed


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("training.bach_size", "training.batch_size"),
        ("batch_size", "training.batch_size"),
        ("federation.round", "federation.rounds"),
        ("Seed", "seed"),
        ("trainig.momentum", "training.momentum"),
    ],
)
def test_an_unknown_setting_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"^unknown setting '{name}'; did you mean {nearest}\?$"):
        Config().with_values({name: 1})


def test_an_unknown_setting_like_no_other_still_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^unknown setting 'zebra'; did you mean [a-z]+\.[a-z_]+\?$"):
        Config().with_values({"zebra": 1})
    with pytest.raises(UsageError, match=r"^unknown setting '###'; did you mean "):
        Config().with_values({"###": 1})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", "3", 3),
        ("seed", 3.0, 3),
        ("training.learning_rate", 1, 1.0),
        ("training.learning_rate", "1e-3", 0.001),
        ("training.class_weights", "FALSE", "none"),
        ("training.class_weights", True, "own"),
        ("training.class_weights", "pooled", "pooled"),
        ("data.sites", 4, "4"),
        ("data.validation", 0.2, "0.2"),
        ("features.windows", [25, 50], (25, 50)),
        ("features.windows", "25,50", (25, 50)),
        ("features.windows", " 25 50 ", (25, 50)),
        ("features.windows", "25, 50", (25, 50)),
        ("features.windows", 50, (50,)),
        ("augment.noise", [], ()),
        ("augment.noise", "", ()),
        ("augment.noise", [5, 20], (5.0, 20.0)),
        ("data.classes", "ang hap", ("ang", "hap")),
        ("data.classes", ["ang", "hap"], ("ang", "hap")),
    ],
)
def test_values_as_toml_and_the_command_line_write_them(name: str, value: object, expected: object) -> None:
    section, _, key = name.rpartition(".")
    config = Config().with_values({name: value})
    found = getattr(getattr(config, section) if section else config, key)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "three"),
        ("seed", 1.5),
        ("seed", True),
        ("seed", None),
        ("seed", "1e999"),
        ("seed", float("inf")),
        ("seed", float("nan")),
        ("seed", [1]),
        ("seed", {}),
        ("training.batch_size", "8.5"),
        ("training.learning_rate", "fast"),
        ("training.learning_rate", True),
        ("training.learning_rate", [0.1]),
        ("training.class_weights", ["own"]),
        ("data.strict", "1"),
        ("data.corpus", ["emodb"]),
        ("data.corpus", True),
        ("data.root", {"a": 1}),
        ("data.classes", True),
        ("data.classes", {"a": 1}),
        ("data.classes", [["ang"]]),
        ("features.windows", "25;50"),
        ("features.windows", "25,"),
        ("features.windows", [25, "x"]),
        ("features.windows", [[25]]),
        ("features.windows", True),
        ("features.windows", 25.5),
        ("augment.noise", "loud"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"^{name} is .*, expected (str|int|float|bool)$") as refused:
        Config().with_values({name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", -1, "seed is -1, expected 0 to 2147483647"),
        ("training.class_weights", 1, "training.class_weights is '1'"),
        ("training.class_weights", "yes", "training.class_weights is 'yes'"),
        ("features.windows", [], "features.windows is empty"),
        ("features.windows", [25, 500], "features.windows is 500, expected 5 to 200"),
        ("features.sampling_rate", 1000, "features.sampling_rate is 1000"),
        ("features.deltas", 3, "features.deltas is 3, expected 0 to 2"),
        ("model.layers", 3, "model.layers is 3, expected 1 to 2"),
        ("model.hidden", 0, "model.hidden is 0, which leaves nothing"),
        ("model.kernel", 4, "model.kernel is 4, expected an odd number"),
        ("model.kernel", 33, "model.kernel is 33, expected 1 to 31"),
        ("model.heads", 0, "model.heads is 0, expected 1 to 64"),
        (
            "model.kind",
            "bilsm",
            r"model.kind is 'bilsm', expected one of bilstm, lstm, transformer, .*, linear; did you mean bilstm\?",
        ),
        ("model.dropout", "nan", "model.dropout is nan"),
        ("augment.noise", [20, 5], r"augment.noise is \[20.0, 5.0\], expected two numbers"),
        ("augment.noise", [5], r"augment.noise is \[5.0\], expected two numbers"),
        ("augment.noise", ["nan", 5], "augment.noise is nan"),
        ("augment.noise", [5, "inf"], "augment.noise is inf"),
        ("augment.crop", 1.1, "augment.crop is 1.1, expected 0.0 to 1.0"),
        ("training.optimizer", "adam", r"training.optimizer is 'adam', expected one of .* did you mean adamw\?"),
        ("training.schedule", "step", "training.schedule is 'step'"),
        ("training.loss", "ce", "training.loss is 'ce'"),
        ("training.learning_rate", "inf", "training.learning_rate is inf"),
        ("training.learning_rate", 0, "training.learning_rate is 0"),
        ("training.clip_norm", -1, "training.clip_norm is -1"),
        ("federation.strategy", "fedavgg", r"did you mean fedavg\?"),
        ("federation.fraction", 0, "federation.fraction is 0.0"),
        ("federation.trim", 0.5, "federation.trim is 0.5"),
        ("data.normalise", "session", "data.normalise is 'session'"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        Config().with_values({name: value})
    assert "\n" not in str(refused.value)


def test_switching_off_every_descriptor_is_refused() -> None:
    with pytest.raises(UsageError, match="every descriptor is switched off"):
        FeatureConfig(mfcc=0, log_mel=0, energy=False, zero_crossing=False, pitch=False, spectral=False)


def test_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('seed = 5\ntraining.batch_size = 8\n[features]\nwindows = [25, 50]\n[data]\nsites = "session"\n')
    values = read_toml(path)
    assert values == {
        "seed": 5,
        "training.batch_size": 8,
        "features.windows": [25, 50],
        "data.sites": "session",
    }
    config = Config().with_values(values)
    assert (config.seed, config.features.windows, config.data.sites) == (5, (25, 50), "session")


@pytest.mark.parametrize("text", ["data = 3", "[data.corpus]\nx = 1", "[trainings]\nbatch_size = 3"])
def test_a_toml_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        Config().with_values(read_toml(tmp_path / "run.toml"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"seed 5", b"seed = ", b"\xfa\xfe"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"^--config .*run.toml is not TOML: ") as refused:
        read_toml(tmp_path / "run.toml")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--config .*none.toml: No such file or directory$"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        read_toml(tmp_path)


def test_noise_without_copies_is_refused() -> None:
    with pytest.raises(UsageError, match=r"augment\.noise is of altered copies, and augment\.copies is 0"):
        Config().with_values({"augment.noise": [0, 25], "augment.copies": 0})


def test_a_linear_model_reads_means_unless_another_is_chosen() -> None:
    assert Config().with_values({"model.kind": "linear"}).model.statistics == "means"
    assert Config().with_values({"model.kind": "linear", "model.statistics": "contours"}).model.statistics == "contours"


def test_a_kind_brings_its_settings_once() -> None:
    small = Config().with_values({"model.kind": "cnn1d", "model.layers": 1})
    assert small.with_values({"model.kind": "cnn1d", "seed": 1}).model.layers == 1
    linear = Config().with_values({"model.kind": "crnn3d", "model.hidden": 0, "model.statistics": "means"})
    assert linear.features == Config().features  # 0 hidden units are a linear model, whatever the name
