"""A trained model in one safetensors file: weights, training scaling, settings and label set. No pickle.

Its metadata has ``format``, ``config``, ``classes`` and ``synthetic``, and since format 2 ``temperature`` and
``unsure``, see ``SavedModel``, and ``windows``: the settings of the windows that it was trained on; null where these
were whole utterances alone. The scaling is ``mean`` and ``deviation``, and, of a model that adapts to a speaker, the
``weight`` in rows that they are worth as a prior.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch

from common.config.settings import Config, flatten
from common.data.normalise import Scaling
from common.errors import UsageError
from common.learning.architectures import build_model
from common.learning.model import EmotionModel
from common.storage import atomic
from common.storage.openable import openable

FORMATS = (1, 2)  # that are read; the last one is written
_SCALING, _CROP = "scaling.", "augment.crop"
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model, ready to predict.

    Attributes:
        model: in evaluation mode.
        scaling: of the training sites' features.
        config: of the run that made it.
        classes: in the order of the logits.
        synthetic: whether it learnt from made-up speech.
        temperature: by which its logits are divided.
        unsure: by a share, such as ``0.1``, how sure it is, at temperature 1, at most of so many of the recordings that
            the temperature was fitted to; None where it was fitted to none.
    """

    model: EmotionModel
    scaling: Scaling
    config: Config
    classes: tuple[str, ...]
    synthetic: bool = False
    temperature: float = 1.0
    unsure: Mapping[str, float] | None = None


def save(
    path: Path,
    arrays: Arrays,
    scaling: Arrays,
    config: Config,
    classes: Sequence[str],
    *,
    synthetic: bool = False,
    temperature: float = 1.0,
    unsure: Mapping[str, float] | None = None,
) -> None:
    """Write a model; the keywords are as ``SavedModel`` has them."""
    tensors = {f"model.{name}": np.ascontiguousarray(value) for name, value in arrays.items()}
    tensors |= {f"{_SCALING}{name}": np.ascontiguousarray(value) for name, value in scaling.items()}
    settings = flatten(config)
    about = {"config": settings, "classes": list(classes), "synthetic": synthetic, "windows": windows(settings)}
    _write(path, tensors, about | {"temperature": temperature, "unsure": unsure})


def calibrate(path: Path, out: Path, temperature: float, unsure: Mapping[str, float]) -> None:
    """Write a model again, with another temperature; all else stays as it is.

    Args:
        path: of the model, which can be read.
        out: where to write it; it may be ``path``.
        temperature: as ``SavedModel`` has it.
        unsure: likewise.
    """
    with openable(file_of(path)) as plain, safetensors.safe_open(plain, framework="np") as file:
        about = json.loads(file.metadata()["fedser"])
        tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    _write(out, tensors, {"windows": None} | about | {"temperature": temperature, "unsure": dict(unsure)})


def _write(path: Path, tensors: Arrays, about: Mapping[str, Any]) -> None:
    # One key: safetensors writes several in random order, and the same run should give the same bytes.
    metadata = {"fedser": json.dumps({**about, "format": FORMATS[-1]})}
    atomic.write(path, safetensors.numpy.save(dict(tensors), metadata=metadata))


def windows(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of the windows that a model was trained on; None where it was on whole utterances alone.

    Args:
        settings: of the run, by flat name.
    """
    if not settings.get(_CROP):
        return None
    return {name.removeprefix("augment."): own for name, own in settings.items() if name.startswith(_CROP)}


def file_of(path: Path) -> Path:
    """A model's file, which lies in the folder of a run."""
    return path / "model.safetensors" if path.is_dir() else path


def load(path: Path) -> SavedModel:
    """Read a model from its file, or from the folder of a run.

    Raises:
        UsageError: there is no model, or the file is broken or of another version.
    """
    try:
        with openable(file_of(path)) as plain, safetensors.safe_open(plain, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["fedser"])
            tensors = {name: file.get_tensor(name).clone() for name in file.offset_keys()}  # views of the file without
        return _assemble(metadata, tensors)
    except FileNotFoundError:
        found = "there is no such file"
    except OSError:
        found = "it cannot be read"
    except UsageError as error:
        found = f"made by another version ({error})"
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError, safetensors.SafetensorError):
        found = "not a model of fedser, or broken"
    raise UsageError(f"--model {path}: {found}; expected the folder of a finished run, or its model.safetensors")


def _assemble(metadata: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> SavedModel:
    if (version := metadata["format"]) not in FORMATS:
        raise UsageError(f"its format is {version!r}, this fedser reads {' and '.join(map(str, FORMATS))}")
    config = Config().with_values(metadata["config"])
    classes = tuple(metadata["classes"])
    known = {name.removeprefix(_SCALING): own.numpy() for name, own in tensors.items() if name.startswith(_SCALING)}
    scaling = Scaling.of_arrays(known)
    model = build_model(scaling.mean.shape[0], len(classes), config)
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    return SavedModel(
        model=model.eval(),
        scaling=scaling,
        config=config,
        classes=classes,
        synthetic=bool(metadata["synthetic"]),
        temperature=_positive(metadata.get("temperature", 1.0)),
        unsure=None if metadata.get("unsure") is None else dict(metadata["unsure"]),
    )


def _positive(value: Any) -> float:
    """A temperature.

    Raises:
        ValueError: it is none.
    """
    if not 0 < float(value) < math.inf:
        raise ValueError(f"the temperature is {value}")
    return float(value)
