"""The model that a federation starts from, where one is named: kept in the run's folder, compared, and whom it knows.

Hospitals that train each year start from last year's model. Its weights mean what they do beside the scaling and the
centre of contours that it was trained with, so the run keeps these too, and asks no site for the sums of its features.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from common.config.settings import Config, flatten
from common.data.normalise import Scaling
from common.errors import FedserError, UsageError
from common.learning import saved_model
from common.learning.saved_model import SavedModel, file_of
from common.splits.plan import Plan
from common.storage import atomic
from server.records.fold_record import FoldRecord, Origin, Speakers, read_fold
from server.run import events

log = logging.getLogger("fedser.server")
FILE, ORIGIN = (
    "initial.safetensors",
    "initial.json",
)  # in a run's folder: the model that it starts from, and whose it is
_FREE = ("model.kind", "model.dropout")  # the kind is compared by its name, and dropout leaves the weights' meaning


def kept(config: Config, folder: Path) -> Config:
    """The settings with the copy of the model that a run's folder has; as they are where it has none."""
    copy = (folder / FILE).absolute()
    return (
        config.with_values({"federation.initial": str(copy)}) if config.federation.initial and copy.exists() else config
    )


def keep_initial(config: Config, folder: Path) -> Config:
    """Copy the model that a run starts from into its folder, unless it is there: no run that is resumed has another.

    Returns:
        The settings with the copy's place.

    Raises:
        UsageError: it cannot be copied.
    """
    if not config.federation.initial or (folder / FILE).exists():
        return kept(config, folder)
    source = Path(config.federation.initial)
    try:
        content = file_of(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--initial {source} cannot be copied to the run's folder: {error.strerror}") from None
    atomic.write(folder / ORIGIN, json.dumps(origin(source).as_json(), indent=1), durable=True)
    atomic.write(folder / FILE, content, durable=True)
    return kept(config, folder)


def load_initial(config: Config, classes: Sequence[str]) -> SavedModel | None:
    """The model that a run starts from; None where it starts from a new one.

    Args:
        config: of the run.
        classes: the run's, in the order that numbers them.

    Raises:
        UsageError: there is no such model, or it differs from the run's: what differs is named.
    """
    if not config.federation.initial:
        return None
    path = Path(config.federation.initial)
    saved = saved_model.load(path, "--initial")
    found, expected = _traits(saved.config, saved.classes), _traits(config, classes)
    for name, value in expected.items():
        if found.get(name) != value:
            raise UsageError(
                f"--initial {path}: the model has {name} {found.get(name)}, the run has {value}; give the run what the "
                "model has, or start from another"
            )
    if config.data.public and (config.data.normalise == "public" or config.features.encoder.components):
        _refuse_other_scaling(saved, config)
    return saved


def _traits(config: Config, classes: Sequence[str]) -> dict[str, object]:
    """What has to be the same for weights to mean the same, by name."""
    kind = config.model.architecture
    fronts = ("features.", "encoder.", "text." if config.text.buckets else "text.buckets")
    names = [name for name in flatten(config) if name.startswith(fronts) and name != "encoder.path"]
    sizes = [name for name in flatten(config) if name.startswith("model.") and name not in _FREE]
    names += ["model.statistics"] if kind.figures_alone else sizes
    told = {"classes": " ".join(classes), "model.kind": kind.name, "data.normalise": config.data.normalise}
    return told | {name: flatten(config)[name] for name in names}


def _refuse_other_scaling(saved: SavedModel, config: Config) -> None:
    public = saved_model.load(Path(config.data.public), "--public").scaling
    own, others = _arrays(saved.scaling), _arrays(public)
    if len(own) != len(others) or not all(map(torch.equal, own, others)):
        raise UsageError(
            f"--initial {config.federation.initial} was trained with another scaling than that of --public "
            f"{config.data.public}; name the public model that it was trained with"
        )


def _arrays(scaling: Scaling) -> list[torch.Tensor]:
    own = [scaling.mean, scaling.deviation, scaling.components]
    return [array for array in own if array is not None]


def made_from(path: str, config: Config, test: Speakers) -> Origin | None:
    """What a fold's record says of a model that it started from, or was taught by; None where there is none.

    Args:
        path: of the model on this machine; empty for none.
        config: of the run.
        test: the fold's test speakers; where sites hold some, how many.
    """
    if not path:
        return None
    found = origin(Path(path))
    named = _named(test)
    if found.speakers is None or named is None:
        return found
    heard = set(found.speakers.get(config.data.corpus, ())) & set(named)
    return dataclasses.replace(found, heard=tuple(sorted(heard)))


def warn_of_heard(config: Config, plan: Plan) -> None:
    """Say before the work where a fold's score will not be held out: the model was trained on its test speakers."""
    start = made_from(config.federation.initial, config, tuple(plan.test_speakers))
    if start and start.heard:
        log.warning(
            "fold %s: --initial was trained on %d of its test speakers (%s); its score is not held out",
            plan.fold,
            len(start.heard),
            ", ".join(start.heard),
        )


def origin(path: Path) -> Origin:
    """Which model it is and whom it was trained on: as a run's folder has it beside its copy, or as its own run tells.

    Args:
        path: the model's file, which can be read, or the folder of its run or fold.
    """
    file = file_of(path)
    beside = file.with_name(ORIGIN)
    if file.name == FILE and beside.exists():
        return Origin.from_json(json.loads(beside.read_text(encoding="utf-8")), str(beside))
    config, fold = saved_model.load(file, "--initial").config, _fold_of(file.parent)
    return Origin(
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        private=config.privacy.on and not config.privacy.insecure_seed and all(own.private for own in _before(fold)),
        speakers=trained_on(fold, config.data.corpus) if fold else None,
    )


def _fold_of(folder: Path) -> FoldRecord | None:
    """The fold that a folder's model is of, which on top of a run is the first; None where that can't be told."""
    first = next((event["fold"] for event in events.read(folder / "events.jsonl")), None)
    try:
        if (folder / "fold.json").exists():
            return read_fold(folder / "fold.json")
        records = [read_fold(place) for place in (folder / "folds").glob("*/fold.json")]
    except FedserError:
        return None
    return next((record for record in records if record.fold == first), None)


def _before(fold: FoldRecord | None) -> list[Origin]:
    """The models that a fold's own was made from."""
    return [own for own in (fold.started_from, fold.taught_by) if own] if fold else []


def trained_on(fold: FoldRecord, corpus: str) -> Mapping[str, tuple[str, ...]] | None:
    """By corpus, whose recordings made a fold's model and those before it; None where a run names nobody.

    Args:
        fold: whose model it is.
        corpus: that it was trained on.
    """
    parts = [_named(fold.train_speakers), _named(fold.validation_speakers)]
    own = [None if part is None else {corpus: part} for part in parts]
    found: dict[str, set[str]] = {}
    for known in [*own, *(before.speakers for before in _before(fold))]:
        if known is None:
            return None
        for name, speakers in known.items():
            found.setdefault(name, set()).update(speakers)
    return {name: tuple(sorted(speakers)) for name, speakers in found.items()}


def _named(speakers: Speakers) -> tuple[str, ...] | None:
    """Who they are; None for counts, unless these are of nobody."""
    if isinstance(speakers, tuple):
        return speakers
    counts = speakers.values() if isinstance(speakers, Mapping) else [speakers]
    return None if any(counts) else ()
