"""From a run to a folder that is run without it: graphs made, tried, and written, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import FedserError, UsageError
from common.storage import atomic
from recogniser.export.eight_bits import in_eight_bits
from recogniser.export.front_constants import takes_sound
from recogniser.export.graphs import FEATURES, FRONT, MODEL, SOUND, WINDOW, graphs
from recogniser.export.held_out_counts import held_out_counts
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
        UsageError: there is no model, it can't take this, or ``out`` is no folder.
        FedserError: a graph is not the model, or the folder can't be written.
    """
    from common.learning import saved_model

    saved = saved_model.load(model)
    _refuse_sound(saved, given)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: it is a file, expected a folder")
    record = {**model_record(saved, saved_model.file_of(model), given), "int8": eight_bits}
    record["held_out"] = held_out_counts(model, saved.classes)
    made = graphs(saved, given)
    if eight_bits:
        made |= {name: in_eight_bits(graph) for name, graph in made.items() if name != FRONT}
    trials = refuse_other_answers(made, saved, given, eight_bits=eight_bits)
    for name, graph in made.items():
        tell(graph, record if name == MODEL else {key: record[key] for key in ABOUT})
    files = {name: graph.SerializeToString() for name, graph in made.items()}
    whole = checked_record(record, files, trials)
    _write(out, files, shown(whole))
    return whole


def _write(out: Path, files: Mapping[str, bytes], record: str) -> None:
    """Write all files, so that there is a record of them or none.

    Raises:
        FedserError: for want of space or rights.
    """
    try:
        for name in (RECORD, MODEL, FRONT, WINDOW):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise FedserError(f"{out} cannot be written: {error.strerror}; choose another folder") from None
    for name, content in files.items():
        atomic.write(out / name, content)
    atomic.write(out / RECORD, record)


def _refuse_sound(saved: SavedModel, given: str) -> None:
    if given not in (SOUND, FEATURES):
        raise UsageError(f"--input {given}: expected {SOUND} or {FEATURES}")
    if given == SOUND and not takes_sound(saved):
        front = "has a public encoder in front, which stays its own file"
        of = front if saved.config.features.encoder.on else "learnt from matrices of features"
        raise UsageError(f"--input sound: the model {of}; use --input features")
