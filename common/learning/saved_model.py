"""A trained model in one safetensors file: weights, training scaling, settings and label set. No pickle.

Its metadata has ``format``, ``config``, ``classes`` and ``synthetic``, and since format 2 ``temperature`` and
``unsure``, see ``SavedModel``, and ``windows``, on which it was trained, see there. The scaling is ``mean`` and
``deviation``, and, of a model that adapts to a speaker, the ``weight`` in rows that they are worth as a prior.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch

from common.config.settings import Config, flatten
from common.data.crops import LEAST_SECONDS
from common.data.normalise import Scaling
from common.errors import UsageError
from common.features.encoded import refuse_other_encoder
from common.learning.confidence import SHARES
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.protocol import TEMPERATURES
from common.storage import atomic
from common.storage.openable import openable

FORMATS = (1, 2)  # that are read; the last one is written
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
    about = {"config": flatten(config), "classes": list(classes), "synthetic": synthetic, "windows": windows(config)}
    _write(path, tensors, about | {"temperature": temperature, "unsure": unsure})


def calibrate(path: Path, out: Path, temperature: float, unsure: Mapping[str, float]) -> None:
    """Write a model again, with another temperature; all else stays as it is.

    Args:
        path: of the model, which can be read.
        out: where to write it; it may be ``path``. A file that is there keeps its mode, and a link leads to it on; a
            new one has the mode of ``path``'s.
        temperature: as ``SavedModel`` has it.
        unsure: likewise.
    """
    with openable(file_of(path)) as plain, safetensors.safe_open(plain, framework="np") as file:
        about = json.loads(file.metadata()["fedser"])
        tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    place = Path(os.path.realpath(out))  # Path.resolve has no one-line error for links in a circle
    mode = stat.S_IMODE((place if place.exists() else file_of(path)).stat().st_mode)
    fitted = {"temperature": temperature, "unsure": dict(unsure)}
    _write(place, tensors, {"windows": None} | about | fitted, durable=True, mode=mode)


def _write(path: Path, tensors: Arrays, about: Mapping[str, Any], *, durable: bool = False, mode: int = 0) -> None:
    # One key: safetensors writes several in random order, and the same run should give the same bytes.
    metadata = {"fedser": json.dumps({**about, "format": FORMATS[-1]})}
    atomic.write(path, safetensors.numpy.save(dict(tensors), metadata=metadata), durable=durable, mode=mode)


def windows(config: Config) -> dict[str, Any] | None:
    """The windows that a model is trained on in a run; None where it is on whole utterances alone.

    Returns:
        ``share``, of the utterances that are cut to one, and ``seconds``: the least that one of a sound has, and the
        most; null for the whole.
    """
    crop = config.augment.crop
    return {"share": crop, "seconds": [LEAST_SECONDS, None]} if crop else None


def file_of(path: Path) -> Path:
    """A model's file, which lies in the folder of a run."""
    return path / "model.safetensors" if path.is_dir() else path


def load(path: Path, option: str = "--model") -> SavedModel:
    """Read a model from its file, or from the folder of a run.

    Args:
        path: of either.
        option: by which the user named it, for the message.

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
    raise UsageError(f"{option} {path}: {found}; expected the folder of a finished run, or its model.safetensors")


def with_encoder(saved: SavedModel, path: Path | None) -> SavedModel:
    """A model that can hear: with the place of the public encoder in front of it, where it has one.

    Args:
        saved: as ``load`` gives it; no model carries its encoder.
        path: of the encoder; None for none.

    Raises:
        UsageError: it needs one and there is none, or another; or it has none in front.
    """
    own = saved.config.features.encoder
    if not own.on:
        if path is not None:
            raise UsageError(f"--encoder {path}: the model has none in front; leave it out")
        return saved
    place = "" if path is None else str(path.expanduser())
    refuse_other_encoder(own, place)
    return replace(saved, config=saved.config.with_values({"encoder.path": place}))


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
        temperature=_within(metadata.get("temperature", 1.0), TEMPERATURES[0], TEMPERATURES[-1]),
        unsure=_unsure(metadata.get("unsure")),
    )


def _within(value: Any, least: float, most: float) -> float:
    """A number of a file's, which is no truth value and no text.

    Raises:
        ValueError: it is none from ``least`` to ``most``.
    """
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError(f"{value!r:.40} is no number from {least:g} to {most:g}")
    return float(value)


def _unsure(value: Any) -> dict[str, float] | None:
    """How sure the model is of its least sure answers, or None where that is not known.

    Raises:
        ValueError: it is of other shares, or not from 0 to 1.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {f"{share:g}" for share in SHARES}:
        raise ValueError("the least sure answers are of other shares")
    return {share: _within(own, 0.0, 1.0) for share, own in value.items()}
