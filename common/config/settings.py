"""Every setting of a run: the sections of ``common.config.sections`` put together, read, and flattened.

``Config`` is what ``simulate --config FILE.toml`` reads (a table a section), what ``result.json`` and a model carry,
and, flattened to ``section.key``, what Flower's run config carries to every node.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_type_hints

from common.config.kinds import CRNN3D, KINDS, kind_of
from common.config.privacy import PrivacyConfig
from common.config.sections import (
    HOLDS_ALL,
    STRATEGIES,
    AugmentConfig,
    DataConfig,
    EncoderConfig,
    FeatureConfig,
    FederationConfig,
    ModelConfig,
    TrainingConfig,
)
from common.config.text import TextConfig
from common.config.toml_file import flat, read_table
from common.errors import UsageError
from common.validate import in_range

__all__ = [
    "HOLDS_ALL",
    "PATHS",
    "STRATEGIES",
    "AugmentConfig",
    "Config",
    "DataConfig",
    "EncoderConfig",
    "FeatureConfig",
    "FederationConfig",
    "ModelConfig",
    "PrivacyConfig",
    "Scalar",
    "TextConfig",
    "TrainingConfig",
    "as_read",
    "flatten",
    "read_toml",
    "refuse_other_version",
    "refuse_teacher",
]

Scalar = bool | int | float | str
# Values that a setting had before it could be more than true or false, by its flat name; they are read as ever.
READ_AS = {"training.class_weights": {"true": "own", "false": "none"}}
PATHS = (  # settings that say where things lie
    *("data.root", "data.label_map", "data.folds", "data.public", "augment.noise_recordings"),
    *("encoder.path", "training.teacher", "federation.initial"),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run; the seed fixes everything that is drawn at random."""

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)  # ``encoder`` is a section of its own
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    federation: FederationConfig = field(default_factory=FederationConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0, 2**31 - 1)
        if self.model.architecture is CRNN3D and not (self.features.log_mel and self.features.deltas == 2):
            raise UsageError(
                f"model.kind is {self.model.kind}, which reads log-mel levels, their Δ and their ΔΔ; set "
                f"features.log_mel (it is {self.features.log_mel}), as 40, and features.deltas = 2 (it is "
                f"{self.features.deltas})"
            )
        encoder = self.features.encoder
        if encoder.pooled and (self.augment.crop or self.model.statistics == "contours"):
            name = "augment.crop" if self.augment.crop else 'model.statistics = "contours"'
            raise UsageError(
                f'{name} is of frames; an encoder gives one row an utterance: --config, encoder.pool = "frames"'
            )

    @property
    def refits(self) -> bool:
        """Whether sites with validation speakers train again, with these, once the round is chosen."""
        return self.federation.refit and self.data.validation != "none" and not self.privacy.on

    @property
    def most_rounds(self) -> int:
        """How many rounds a site may be asked for: twice as many where it may have to train again."""
        return self.federation.rounds * (2 if self.refits else 1)

    def with_values(self, values: Mapping[str, Any]) -> Config:
        """A copy with some settings replaced.

        Args:
            values: by flat name, e.g. ``{"seed": 1, "training.batch_size": 32}``; lists may be given as lists or as
                text with commas or spaces. A ``model.kind`` brings what ``common.config.kinds`` says of it.

        Raises:
            UsageError: an unknown name (the nearest is named), or a value of the wrong type or range.
        """
        known = flatten(self)
        values = {**self._brought(values), **values}
        sections: dict[str, dict[str, Any]] = {}
        top: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                [near] = difflib.get_close_matches(name, known, n=1, cutoff=0.0)  # the nearest, however far
                raise UsageError(f"unknown setting {name!r}; did you mean {near}?")
            section, _, key = name.rpartition(".")
            parsed = _parse(name, value, _kinds()[name])
            (sections.setdefault(section, {}) if section else top)[key] = parsed
        if own := sections.pop("encoder", None):
            encoder = dataclasses.replace(self.features.encoder, **own)
            sections.setdefault("features", {})["encoder"] = encoder
        parts = {name: dataclasses.replace(getattr(self, name), **changes) for name, changes in sections.items()}
        return dataclasses.replace(self, **top, **parts)

    def _brought(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the kind of model among some values brings, where neither these nor this choose otherwise."""
        named = str(values.get("model.kind", self.model.kind))
        if named == self.model.kind or named not in KINDS:  # then it has brought it already; or it is refused
            return {}
        kind = kind_of(named, int(_number(str(values.get("model.hidden", self.model.hidden))) or 0))
        own, usual = flatten(self), flatten(Config())
        return {name: value for name, value in kind.brings.items() if own[name] == usual[name]}

    def with_whole_paths(self) -> Config:
        """A copy with whole paths: a run may be resumed, and Flower's processes work, in other folders."""
        known = flatten(self)
        paths = {name: Path(str(known[name])) for name in PATHS if known[name]}
        return self.with_values({name: str(path.expanduser().absolute()) for name, path in paths.items()})


@functools.cache
def _kinds() -> dict[str, Any]:
    """The type of each setting, by its flat name."""
    kinds: dict[str, Any] = {}
    for name, kind in (get_type_hints(Config) | {"encoder": EncoderConfig}).items():
        section = get_type_hints(kind) if dataclasses.is_dataclass(kind) else None
        kinds |= {f"{name}.{key}": own for key, own in section.items()} if section else {name: kind}
    return kinds


def as_read(name: str, value: Any) -> Any:
    """A setting's value, that of an earlier spelling in today's."""
    if isinstance(value, (bool, str)):
        return READ_AS.get(name, {}).get(str(value).lower(), value)
    return value


def _parse(name: str, value: Any, kind: Any) -> Any:
    value = as_read(name, value)
    if kind in (tuple[int, ...], tuple[float, ...], tuple[str, ...]):
        if isinstance(value, str):
            value = [item.strip() for item in value.split(",")] if "," in value else value.split()
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_parse(name, item, kind.__args__[0]) for item in items)
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and kind in (int, float):
        value = _number(value)
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    try:
        if kind in (int, float) and not isinstance(value, (bool, str)) and float(value) == kind(value):
            return kind(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UsageError(f"{name} is {value!r}, expected {kind.__name__}")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def flatten(config: Config) -> dict[str, Scalar]:
    """The settings by flat name, lists and ``inf`` as text: what Flower's run config and JSON can carry."""
    flat: dict[str, Scalar] = {}
    tree = dataclasses.asdict(config)
    tree["encoder"] = tree["features"].pop("encoder")
    for name, value in tree.items():
        for key, item in value.items() if isinstance(value, dict) else [("", value)]:
            flat[f"{name}.{key}" if key else name] = _scalar(item)
    return flat


def refuse_teacher(config: Config) -> None:
    """Refuse a run of separate sites that names a teacher.

    Raises:
        UsageError: it does.
    """
    if config.training.teacher:
        raise UsageError(
            "--teacher is for simulations alone, a site is sent no teacher; leave it out, or simulate the run"
        )


def refuse_other_version(settings: Mapping[str, Any], what: str) -> None:
    """Refuse to go on with a run whose settings are not those that this version has.

    Args:
        settings: of the run, by flat name, as it was started.
        what: the run, for the line.

    Raises:
        UsageError: some are missing, or too many.
    """
    if odd := sorted(settings.keys() ^ flatten(Config()).keys()):
        raise UsageError(
            f"{what}: the run is of another version of fedser ({odd[0]} is in one alone), whose runs this one can't go "
            "on with; go on with that one, or start the run anew"
        )


def _scalar(item: Any) -> Scalar:
    if isinstance(item, tuple):
        return ",".join(map(str, item))
    return "inf" if item == math.inf else cast("Scalar", item)


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file by flat name, for ``Config.with_values``.

    Raises:
        UsageError: the file is missing or is not TOML.
    """
    return flat(read_table(path, option="--config"))
