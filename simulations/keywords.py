"""The keywords of ``simulations.run``: the flags of ``fedser simulate``, taken from its own declaration.

``Keywords`` says the same to a type checker, which cannot read that; a test compares the two.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from common.cli.settings_flags import read_settings, settings_of_parameters
from common.errors import UsageError

FilePath = str | PathLike[str]
WITHOUT = ("out", "json")  # a parameter of its own, and what only a command needs


class Keywords(TypedDict, total=False):
    """The flags of ``fedser simulate`` with ``_`` for ``-``, but for ``--out`` and ``--json``."""

    corpus: str
    root: FilePath
    classes: Sequence[str] | str
    label_map: FilePath
    style: str
    strict: bool
    outside_root: bool
    speaker_ids: str
    held_out: str
    folds: FilePath
    sites: str | int
    validation: str | float
    normalise: str
    public: FilePath
    encoder: FilePath
    encoder_layer: str | int
    encoder_pool: str
    encoder_beside: bool
    model_kind: str
    score_noise: bool
    strategy: str
    initial: FilePath
    rounds: int
    refit: bool
    local_epochs: int
    least_steps: int
    batch_size: int
    class_weights: str
    teacher: FilePath
    weights: str
    malicious: int
    secure: bool
    fraction: float
    min_sites: int
    round_timeout: float
    quorum: float
    grace: float
    augment_noise: str | tuple[float, float]
    noise_recordings: FilePath
    seed: int
    privacy_unit: str
    epsilon: float
    delta: float
    max_grad_norm: float
    noise_multiplier: float
    privacy_noise: str
    honest: int
    max_physical_batch: int
    max_seconds: float
    budget: float
    canaries: int
    canary_kind: str
    insecure_seed: bool
    config: FilePath
    baselines: bool
    personal: bool
    engine: str
    workers: int
    ledger: FilePath
    resume: FilePath
    overwrite: bool


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """A flag as a keyword.

    Attributes:
        name: of the keyword.
        parameter: of the command's function, which may have another name.
        default: of that.
        help: what the flag does.
    """

    name: str
    parameter: str
    default: Any
    help: str


@functools.cache
def keywords() -> Mapping[str, Keyword]:
    """All keywords by name, in the order of ``fedser simulate --help``."""
    from simulations.cli import simulate

    found = (_keyword(parameter) for parameter in inspect.signature(simulate).parameters.values())
    return {keyword.name: keyword for keyword in found if keyword.name not in WITHOUT}


def _keyword(parameter: inspect.Parameter) -> Keyword:
    [option] = parameter.annotation.__metadata__
    flag = next(name for name in (option.default, *option.param_decls) if isinstance(name, str) and name[:2] == "--")
    name = flag.partition("/")[0].removeprefix("--").replace("-", "_")
    return Keyword(name=name, parameter=parameter.name, default=parameter.default, help=option.help)


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the command's function would be called with.

    Raises:
        UsageError: there is no such keyword; the nearest is named.
    """
    known = keywords()
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"run has no keyword {name!r}; did you mean {near}? What has none goes into settings={{}}")
    values = {known[name].parameter: _as_parsed(name, value) for name, value in given.items()}
    return {keyword.parameter: keyword.default for keyword in known.values()} | values


def settings_of(given: Mapping[str, Any], settings: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The settings by flat name: of the keywords, above ``settings``, above a file.

    Args:
        given: the keywords.
        settings: those that have none.
        values: of ``parameters_of``; what makes settings is taken out.

    Raises:
        UsageError: one is said twice, or is wrong.
    """
    names = settings_of_parameters()
    for name in given:
        setting = names.get(keywords()[name].parameter)
        if setting in settings:
            raise UsageError(f"settings has {setting!r}, which the keyword {name} says too; give one of them")
    path = values.pop("config")
    return read_settings({name: values.pop(name) for name in names}, names, path, settings)


def _as_parsed(name: str, value: Any) -> Any:
    """A value as the command's parser gives it."""
    if name == "classes" and value is not None:
        return [value] if isinstance(value, str) else list(value)
    if name in ("config", "ledger", "resume") and value is not None:
        return Path(value).expanduser()
    return os.fspath(value) if isinstance(value, PathLike) else value


def describe(call: Callable[..., Any]) -> None:
    """Give a function that takes ``Keywords`` a docstring and a signature with each of them, for help and notebooks."""
    hints, whole = get_type_hints(Keywords), inspect.signature(call)
    own = [parameter for parameter in whole.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints.get(name, Any))
        for name in keywords()
    ]
    call.__signature__ = whole.replace(parameters=[*flags, *own])  # type: ignore[attr-defined]
    lines = "\n".join(f"        {keyword.name}: {keyword.help}" for keyword in keywords().values())
    call.__doc__ = (call.__doc__ or "").replace("        **flags: as ``Keywords`` lists them.", lines)
