"""What a deployed run is planned with: the coordinator's held-out recordings, the classes, the paths as both sides say.

Whoever starts a run may have the coordinator's folder at another place than the SuperLink, which may be in a container:
what lies inside the folder is named relative to it, and small files from elsewhere are copied into the run's own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.run_config import build_run_config
from common.config.settings import Config, Scalar, flatten, refuse_teacher
from common.data.extraction import Skipped
from common.data.preparation import prepare
from common.data.resident import listing
from common.errors import CorpusError, UsageError
from common.escaping import escaped
from common.features.cache import FeatureCache
from common.privacy.recipe import private_settings
from common.processes.cores import usable_cores
from common.progress import Display
from common.splits.plan import Plan
from common.utterance import emotion_name
from server.federation.folder.coordinator_folder import Folder
from server.federation.runs.run_folder import RunFolder, RunStart
from server.records.starting_model import keep_initial, load_initial, warn_of_heard

FOLD = "held-out"
STATE_CACHE, STATE_LEDGER = "state/cache", "state/ledger"


def configured(given: Mapping[str, Any]) -> Config:
    """The settings of a run, completed by the private recipe, with whole paths.

    Raises:
        UsageError: settings that don't go together.
    """
    config = Config().with_values(private_settings({"data.corpus": "manifest", **given}))
    public = config.data.normalise == "public" or config.features.encoder.components > 0
    if public != bool(config.data.public):
        raise UsageError(
            "--normalise public, or an encoder in a private run, and --public MODEL go together; fedser corpus scaling "
            "writes one of public recordings, or it is of a run on public data"
        )
    refuse_teacher(config)
    if not config.data.root and len(config.data.classes) < 2:
        raise UsageError(
            "without --root there are no recordings here that tell the classes: name them, e.g. --classes anger "
            "happiness neutral sadness, the same at all sites"
        )
    if config.augment.noise_recordings:
        raise UsageError(
            f"augment.noise_recordings is {config.augment.noise_recordings!r}, a folder that no site has: leave it "
            "out; --augment-noise has noise that every site makes"
        )
    if config.data.score_noise and config.data.root and config.features.encoder.on:
        raise UsageError(
            "--score-noise is not for a federation with an encoder in front: the server that scores has none; fedser "
            "bench noise is for runs of one machine"
        )
    return config.with_whole_paths()


@dataclass(frozen=True, kw_only=True)
class CoordinatorData:
    """The coordinator's own held-out recordings; without any, only the classes are known.

    Attributes:
        classes: the emotions, in the order that numbers them.
        speakers: of its recordings; all are test speakers.
        tested: how many of the recordings can be used.
        skipped: those that can't.
        synthetic: whether the speech is made up.
    """

    classes: tuple[str, ...]
    speakers: tuple[str, ...] = ()
    tested: int = 0
    skipped: tuple[Skipped, ...] = ()
    synthetic: bool = False


def plan_run(config: Config, quorum: int, folder: Folder, display: Display, command: str) -> tuple[Plan, RunStart]:
    """List the held-out recordings, compute their features, and plan the run.

    Returns:
        The plan, and what is to be kept in ``run.json``.

    Raises:
        CorpusError: the recordings cannot be used.
        UsageError: a wrong option, or a model to start from that differs from the run's.
    """
    began = time.perf_counter()
    held = _held_out(config, folder, display) if config.data.root else CoordinatorData(classes=_names(config))
    load_initial(config, held.classes)
    plan = Plan(
        fold=FOLD,
        classes=held.classes,
        test=held.speakers,
        sites=(),
        skipped=tuple(sorted(_named(item.name, Path(config.data.root), folder) for item in held.skipped)),
        synthetic=held.synthetic,
        quorum=quorum,
    )
    warn_of_heard(config, plan)
    # The sites are told the classes by name: theirs may lack one, and a corpus's defaults are what it has.
    kept = RunStart(
        settings=flatten(config.with_values({"data.classes": list(held.classes)})),
        command=command,
        quorum=quorum,
        tested=held.tested,
        problems=[{"path": escaped(item.name), "kind": item.kind, "detail": item.detail} for item in held.skipped],
        features_s=time.perf_counter() - began,
    )
    return plan, kept


def _held_out(config: Config, folder: Folder, display: Display) -> CoordinatorData:
    selection = listing(config.data)
    skipped = prepare(config, selection, FeatureCache(folder.root / STATE_CACHE), display, workers=usable_cores())
    broken = {item.name for item in skipped}
    usable = [u for u in selection.utterances if u.name not in broken]
    if not usable:
        raise CorpusError(f"--root {config.data.root}: none of its recordings can be used to score the model")
    return CoordinatorData(
        classes=tuple(selection.classes),
        speakers=tuple(sorted({u.speaker for u in usable})),
        tested=len(usable),
        skipped=tuple(skipped),
        synthetic=selection.synthetic,
    )


def _names(config: Config) -> tuple[str, ...]:
    names = tuple(emotion_name(name) for name in config.data.classes)
    if len(set(names)) < len(names):
        raise UsageError(f"--classes names an emotion twice: {', '.join(names)}")
    return names


def place_inputs(settings: Mapping[str, Scalar], run: RunFolder) -> dict[str, Scalar]:
    """Copy a label map and models to the run; return the settings with paths as the ServerApp has them."""
    values = dict(settings)
    if initial := str(values["federation.initial"]):
        config = keep_initial(Config().with_values({"federation.initial": initial}), run.path)
        values["federation.initial"] = _relative(Path(config.federation.initial), run.folder)
    for name, copy in (("data.label_map", "label-map.toml"), ("data.public", "public.safetensors")):
        if path := str(values[name]):
            values[name] = _relative(_copy(Path(path), run.file(copy)), run.folder)
    if root := str(values["data.root"]):
        values["data.root"] = _relative(Path(root), run.folder)
    if encoder := str(values["encoder.path"]):  # each site has its own; here it is found again inside the folder alone
        inside = Path(encoder).is_relative_to(run.folder.root.absolute())
        values["encoder.path"] = _relative(Path(encoder), run.folder) if inside else ""
    return values


def _named(recording: str, root: Path, folder: Folder) -> str:
    """A recording's name as the ServerApp will know it."""
    base = root if root.is_dir() else root.parent
    inside = Path(recording).is_relative_to(base)
    return str(Path(_relative(base, folder)) / Path(recording).relative_to(base)) if inside else recording


def _copy(path: Path, to: Path) -> Path:
    source = path / "model.safetensors" if path.is_dir() else path
    try:
        shutil.copyfile(source, to)
    except OSError as error:
        raise UsageError(f"{source} cannot be copied to the run's folder: {error.strerror}") from None
    return to


def _relative(path: Path, folder: Folder) -> str:
    """A path inside the coordinator's folder relative to it; others as they are."""
    whole, home = path.resolve(), folder.root.resolve()
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(path)


def run_config(settings: Mapping[str, Scalar], run: RunFolder) -> dict[str, Scalar]:
    """All that the ServerApp is told: the settings, and where things lie in the coordinator's folder."""
    folder = Path("runs") / run.name
    places = {
        "out": folder,
        "events": folder / "events.jsonl",
        "cache": Path(STATE_CACHE),
        "ledger": Path(STATE_LEDGER),
    }
    return build_run_config(settings, **places)
