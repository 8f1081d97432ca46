"""A place for what libraries keep below the user's home, where there is no home or it cannot be written.

In a container of a cluster, or under a service's account, there often is none. numba, matplotlib, Flower and torch each
end in a traceback of their own then.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from common.errors import FedserError

# What each reads, and the folder that it gets.
VARIABLES = {
    "XDG_CACHE_HOME": "cache",
    "NUMBA_CACHE_DIR": "numba",
    "MPLCONFIGDIR": "matplotlib",
    "FLWR_HOME": "flwr",
    "TORCH_HOME": "torch",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
}


def provide_home() -> Path | None:
    """Name a temporary folder to the libraries where the home cannot be written; what is named already stays.

    Returns:
        The folder; None where the home can be written.

    Raises:
        FedserError: no temporary folder can be made either.
    """
    home = _home()
    if home is not None and _can_keep(home):
        return None
    try:
        place = _own_folder()
    except OSError as error:
        raise FedserError(
            f"neither the home nor a temporary folder can be written ({error.strerror or error}); set HOME or TMPDIR "
            "to a folder that can"
        ) from None
    for name, folder in VARIABLES.items():
        os.environ.setdefault(name, str(place / folder))
    if home is None:  # so that a path with ~ is one that does not exist, and no traceback
        os.environ["HOME"] = str(place)
    return place


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and a user that the system does not know
        return None


def _can_keep(home: Path) -> bool:
    """Whether the home, and what of its folders is there already, can be written."""
    folders = (home, home / ".cache", home / ".config")
    return home.is_dir() and all(os.access(folder, os.W_OK | os.X_OK) for folder in folders if folder.exists())


def _own_folder() -> Path:
    """The same at each start, so that what was compiled is found again; another's folder of that name is not used."""
    place = Path(tempfile.gettempdir()) / f"fedser-{os.getuid()}"
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        found = place.lstat()
        if not place.is_dir() or place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
            return Path(tempfile.mkdtemp(prefix="fedser-"))
    return place
