"""The model that a user names: an export, or a run, which is exported into the cache once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

from common.errors import FedserError, UsageError
from recogniser.listening.exported_model import ExportedModel, is_export

WEIGHTS = "model.safetensors"


def open_model(path: Path) -> ExportedModel:
    """Read a model.

    Args:
        path: of an export's folder, of a run's, or of a run's ``model.safetensors``.

    Raises:
        UsageError: it is none of these, or takes no sound.
        FedserError: a run can't be exported here.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    if is_export(path) or not weights.is_file():
        return ExportedModel.load(path)
    return ExportedModel.load(_exported(weights))


def cache_directory() -> Path:
    """``exports`` in ``$FEDSER_CACHE``, or in ``fedser`` in the user's cache folder."""
    if named := os.environ.get("FEDSER_CACHE"):
        return Path(named) / "exports"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedser" / "exports"


def _exported(weights: Path) -> Path:
    """The export of a run's model by this version of fedser, made where there is none yet."""
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"--model {weights} cannot be read: {(error.strerror or 'error').lower()}") from None
    folder = cache_directory() / f"{digest[:32]}-{importlib.metadata.version('fedser')}"
    if not is_export(folder):
        _make(weights, folder)
    return folder


def _refuse_deaf(weights: Path) -> None:
    """Refuse a model that takes no sound, before it is exported.

    Raises:
        UsageError: it does not.
    """
    from common.learning import saved_model
    from recogniser.export.front_constants import takes_sound

    if not takes_sound(saved_model.load(weights)):
        raise UsageError(
            f"--model {weights}: it takes no sound by itself (an encoder or matrices stand in front), so that it can't "
            "listen; fedser predict labels whole recordings"
        )


def _make(weights: Path, folder: Path) -> None:
    """Export into a folder beside, which then takes its place whole."""
    try:
        from recogniser.export.exporting import export
    except ImportError as error:
        raise FedserError(
            f"--model {weights} is a run, and turning it into an export needs {error.name}, which is not installed; "
            "run fedser export where it was trained, and give its folder"
        ) from None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise FedserError(f"{folder.parent} cannot be written: {error.strerror}; set FEDSER_CACHE") from None
    try:
        _refuse_deaf(weights)
        export(weights, partial)
        if not is_export(folder):  # another process may have been as quick
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
