"""A trained model in one safetensors file: weights, training scaling, settings and label set. No pickle."""

from __future__ import annotations

import json
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

_SCALING = "scaling."
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
    """

    model: EmotionModel
    scaling: Scaling
    config: Config
    classes: tuple[str, ...]
    synthetic: bool = False


def save(
    path: Path, arrays: Arrays, scaling: Arrays, config: Config, classes: Sequence[str], *, synthetic: bool = False
) -> None:
    """Write a model."""
    tensors = {f"model.{name}": np.ascontiguousarray(value) for name, value in arrays.items()}
    tensors |= {f"{_SCALING}{name}": np.ascontiguousarray(value) for name, value in scaling.items()}
    metadata = {"format": 1, "config": flatten(config), "classes": list(classes), "synthetic": synthetic}
    # One key: safetensors writes several in random order, and the same run should give the same bytes.
    atomic.write(path, safetensors.numpy.save(tensors, metadata={"fedser": json.dumps(metadata)}))


def load(path: Path) -> SavedModel:
    """Read a model from its file, or from the folder of a run.

    Raises:
        UsageError: there is no model, or the file is broken or of another version.
    """
    file_path = path / "model.safetensors" if path.is_dir() else path
    try:
        with openable(file_path) as plain, safetensors.safe_open(plain, framework="pt") as file:
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
    config = Config().with_values(metadata["config"])
    classes = tuple(metadata["classes"])
    known = {name.removeprefix(_SCALING): own.numpy() for name, own in tensors.items() if name.startswith(_SCALING)}
    scaling = Scaling.of_arrays(known)
    model = build_model(scaling.mean.shape[0], len(classes), config)
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    synthetic = bool(metadata["synthetic"])
    return SavedModel(model=model.eval(), scaling=scaling, config=config, classes=classes, synthetic=synthetic)
