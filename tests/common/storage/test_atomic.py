import os
from pathlib import Path

import pytest

from common.errors import FedserError
from common.storage import atomic


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_and_its_folders(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a" / "b" / "x.json"
    atomic.write(path, "gültig", durable=durable)
    assert path.read_bytes() == "gültig".encode()
    atomic.write(path, b"\x00\xff", durable=durable)
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    atomic.write(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FedserError, match=r"x.json cannot be written: No space left on device; free space there or"):
        atomic.write(path, "new", durable=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "deeper" / "x"):
        with pytest.raises(FedserError, match="cannot be written") as refused:
            atomic.write(path, "text")
        assert "\n" not in str(refused.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FedserError, match="folder cannot be written"):
        atomic.write(tmp_path / "folder", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_who_may_read_it_is_the_users_to_say(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        atomic.write(tmp_path / "x", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_durable_file_outlives_a_power_cut_and_so_do_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda f: synced.append(Path(f"/proc/self/fd/{f}").readlink().name))
    atomic.write(tmp_path / "a" / "b" / "x", "text", durable=True)
    assert [synced[0], synced[1], synced[3]] == [tmp_path.name, "a", "b"]
    assert synced[2].startswith(".partial-")
    assert len(synced) == 4
    atomic.write(tmp_path / "c" / "x", "text")
    assert len(synced) == 4


def test_a_private_file_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda f: modes.append(os.fstat(f).st_mode & 0o777))
    before = os.umask(0)
    try:
        atomic.write(tmp_path / "key", "secret", durable=True, private=True)
    finally:
        os.umask(before)
    assert modes[0] == 0o600
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
