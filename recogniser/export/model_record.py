"""``model.json``: what who runs the graphs must know of the model, and the same in each graph's own metadata."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from common.escaping import as_json
from recogniser.export.front_constants import columns, context, takes_sound
from recogniser.export.parity import Trial

if TYPE_CHECKING:
    import torch

    from common.learning.saved_model import SavedModel

FORMAT = 1
RECORD = "model.json"
ABOUT = ("fedser", "model_sha256", "classes", "licence", "synthetic")  # what graphs beside ``model.onnx`` say too


def model_record(saved: SavedModel, path: Path, given: str) -> dict[str, Any]:
    """What is known of a model before its graphs are made.

    Args:
        saved: the model.
        path: of its file, whose digest is told.
        given: what ``model.onnx`` takes.
    """
    from common.learning.saved_model import windows

    scaling = saved.scaling
    return {
        "format": FORMAT,
        "fedser": importlib.metadata.version("fedser"),
        "input": given,
        "classes": list(saved.classes),
        **_of_rows(saved),
        "normalise": saved.config.data.normalise,
        "alone": _alone(saved),
        "prior": {"mean": _short(scaling.mean), "deviation": _short(scaling.deviation), "rows": scaling.weight},
        "temperature": saved.temperature,
        "unsure": saved.unsure,
        "windows": windows(saved.config),
        "licence": _licence(saved),
        "synthetic": saved.synthetic,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _of_rows(saved: SavedModel) -> dict[str, Any]:
    """How frames and rows lie in time and what they are."""
    from common.features.front_end import row_ms

    features, sound = saved.config.features, takes_sound(saved)
    return {
        "sampling_rate": features.sampling_rate,
        "hop_ms": features.hop,
        "stack": features.stack,
        "row_ms": None if features.encoder.pooled else row_ms(features),
        "features": _settings(saved),
        "columns": columns(features) if sound else [],
        "dimension": len(saved.scaling.mean),
        "context": context(features) if sound else None,
    }


def checked_record(record: Mapping[str, Any], files: Mapping[str, bytes], trials: Sequence[Trial]) -> dict[str, Any]:
    """The same with each file's digest and what came of trying them."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {**record, "files": digests, "parity": [trial.as_json() for trial in trials]}


def tell(graph: onnx.ModelProto, record: Mapping[str, Any]) -> None:
    """Write a record into a graph's metadata, each of its values as JSON, and who made it."""
    onnx.helper.set_model_props(graph, {name: as_json(value) for name, value in record.items()})
    graph.producer_name, graph.producer_version = "fedser", record["fedser"]


def shown(record: Mapping[str, Any]) -> str:
    """A record as the file has it."""
    return as_json(json.loads(json.dumps(record)), indent=1) + "\n"


def _short(values: torch.Tensor) -> list[float]:
    """float32 with no more digits than tell them apart."""
    return [float(str(value)) for value in values.numpy()]


def _settings(saved: SavedModel) -> dict[str, Any]:
    own = dataclasses.asdict(saved.config.features)
    encoder = own.pop("encoder")
    encoder.pop("path")  # a place on the machine that trained
    return {**own, "windows": list(own["windows"]), "encoder": encoder if saved.config.features.encoder.on else None}


def _alone(saved: SavedModel) -> str:
    """By what a lone recording is scaled: ``itself``, or the ``prior``."""
    from common.data.strangers import lone_mode

    return "itself" if lone_mode(saved.config) == "utterance" else "prior"


def _licence(saved: SavedModel) -> str | None:
    """That of the corpus, which the model inherits; None where the run is of no corpus that fedser knows."""
    from common.corpora.catalogue import CORPORA

    module = CORPORA.get(saved.config.data.corpus)
    return None if module is None else str(module.LICENCE)
