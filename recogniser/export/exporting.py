"""From a run to a folder that is run without it: graphs made, tried, and written, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from common.storage import atomic
from recogniser.export.eight_bits import in_eight_bits
from recogniser.export.graphs import FEATURES, FRONT, MODEL, SOUND, graphs
from recogniser.export.model_record import ABOUT, RECORD, checked_record, model_record, shown, tell
from recogniser.export.parity import refuse_other_answers

if TYPE_CHECKING:
    from common.learning.saved_model import SavedModel


def export(model: Path, out: Path, given: str = SOUND, *, eight_bits: bool = False) -> dict[str, Any]:
    """Write a model's graphs, and beside them ``model.json``, which comes last.

    Args:
        model: a run's folder, or its ``model.safetensors``.
        out: the folder to write; what an older export left there is replaced.
        given: ``sound`` or ``features``: what ``model.onnx`` takes.
        eight_bits: whether the learnt weights are whole numbers of 8 bits.

    Returns:
        What ``model.json`` has.

    Raises:
        UsageError: there is no model, or it can't take this.
        FedserError: a graph is not the model, or the folder can't be written.
    """
    from common.learning import saved_model

    saved = saved_model.load(model)
    _refuse_sound(saved, given)
    record = {**model_record(saved, saved_model.file_of(model), given), "int8": eight_bits}
    made = graphs(saved, given)
    if eight_bits:
        made |= {name: in_eight_bits(graph) for name, graph in made.items() if name != FRONT}
    trials = refuse_other_answers(made, saved, given, eight_bits=eight_bits)
    for name, graph in made.items():
        tell(graph, record if name == MODEL else {key: record[key] for key in ABOUT})
    files = {name: graph.SerializeToString() for name, graph in made.items()}
    whole = checked_record(record, files, trials)
    for name, content in files.items():
        atomic.write(out / name, content)
    atomic.write(out / RECORD, shown(whole))
    return whole


def _refuse_sound(saved: SavedModel, given: str) -> None:
    if given not in (SOUND, FEATURES):
        raise UsageError(f"--input {given}: expected {SOUND} or {FEATURES}")
    if saved.config.features.encoder.on and given == SOUND:
        raise UsageError(
            "--input sound: the model has a public encoder in front, which stays its own file; use --input features"
        )
