from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from common.errors import FedserError
from common.processes.writable_home import VARIABLES, provide_home

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in (*VARIABLES, "FEDSER_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path


def test_a_home_that_can_be_written_is_left_alone(nothing_named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(nothing_named))
    before = dict(os.environ)
    assert provide_home() is None
    assert dict(os.environ) == before


def test_without_a_home_each_library_gets_a_folder_and_what_was_named_stays(
    nothing_named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(nothing_named / "gone"))
    monkeypatch.setenv("MPLCONFIGDIR", "/chosen")
    place = provide_home()
    assert place == nothing_named / "tmp" / f"fedser-{os.getuid()}"
    assert os.environ["MPLCONFIGDIR"] == "/chosen"
    assert all(os.environ[name] == str(place / VARIABLES[name]) for name in VARIABLES if name != "MPLCONFIGDIR")
    assert os.environ["HOME"] == str(nothing_named / "gone")  # what a user's ~ means is not for us to change
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert provide_home() == place


def test_a_folder_of_that_name_that_others_may_write_is_not_used(
    nothing_named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(nothing_named / "gone"))
    planted = nothing_named / "tmp" / f"fedser-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    place = provide_home()
    assert place is not None
    assert place != planted
    for name in VARIABLES:
        monkeypatch.delenv(name)
    planted.rmdir()
    planted.symlink_to(nothing_named)
    assert provide_home() != planted


def test_where_nothing_can_be_written_one_line_names_the_variables(
    nothing_named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(nothing_named / "gone"))
    (nothing_named / "tmp").rmdir()
    with pytest.raises(FedserError, match="set HOME or TMPDIR to a folder that can"):
        provide_home()


STRANGER = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--inh-caps=+dac_read_search"]
STRANGER += ["--ambient-caps=+dac_read_search", "--bounding-set=+all"]  # may read everything, and write little
SCRIPT = """
from common.processes.writable_home import provide_home
place = provide_home()
from pathlib import Path
import matplotlib, numba, torch
from common.features.cache import FeatureCache, default_directory
numba.njit(cache=True)(lambda: 1)  # as librosa's are, which fails where there is no place to keep it
assert Path(matplotlib.get_cachedir()).is_relative_to(place), (matplotlib.get_cachedir(), place)
FeatureCache(default_directory()).store("ab", torch.zeros(1, 1))
assert default_directory().is_relative_to(place), (default_directory(), place)
assert not Path("~/there is no such folder").expanduser().exists()
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes another user's rights")
@pytest.mark.parametrize("home", [{}, {"HOME": "/usr"}], ids=["none", "read-only"])
def test_a_user_that_the_system_does_not_know_can_work(tmp_path: Path, home: dict[str, str]) -> None:
    for folder in (tmp_path, *tmp_path.parents):  # pytest's own folders are their user's alone
        if folder.owner() == tmp_path.owner() and folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o777)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp"), **home}
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "script.py").write_text(SCRIPT)
    command = [*STRANGER, sys.executable, "-W", "ignore", str(tmp_path / "own" / "script.py")]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
