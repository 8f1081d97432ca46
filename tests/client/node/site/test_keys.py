from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from client.node.site import keys
from common.errors import FedserError


def test_the_key_is_of_the_kind_that_flower_takes(tmp_path: Path) -> None:
    pair = keys.generate(tmp_path)
    private = load_ssh_private_key(pair.private.read_bytes(), None)
    public = load_ssh_public_key(pair.public.read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert private.curve.name == "secp384r1"
    assert private.public_key().public_numbers() == public.public_numbers()
    assert pair.public.read_text() == pair.line + "\n"
    assert pair.line.startswith("ecdsa-sha2-nistp384 ")
    assert pair.private.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_ssh_keygen_reads_it(tmp_path: Path) -> None:
    pair = keys.generate(tmp_path)
    found = subprocess.run(["ssh-keygen", "-y", "-f", pair.private], capture_output=True, text=True, check=True)
    assert found.stdout.split()[:2] == pair.line.split()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_nobody_else_can_ever_read_it(tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        modes.append(os.fstat(descriptor).st_mode & 0o777)
        real(descriptor)

    opened: list[tuple[str, int]] = []
    open_real = os.open

    def spy(path: str, flags: int, mode: int = 0o777) -> int:
        opened.append((Path(path).name, mode if flags & os.O_EXCL else 0o777))
        return open_real(path, flags, mode)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "open", spy)
    before = os.umask(umask)
    try:
        pair = keys.generate(tmp_path)
    finally:
        os.umask(before)
    assert opened == [("key", 0o600), ("key.pub", 0o644)]
    assert modes == [0o600, 0o644]
    assert pair.private.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("older")
    with pytest.raises(FedserError, match=rf"{name} is there already and is not overwritten"):
        keys.generate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "older"


def test_where_it_cannot_be_written_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FedserError, match="key cannot be made: No such file or directory"):
        keys.generate(tmp_path / "none")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FedserError, match="key cannot be written: No space left on device; free space there"):
        keys.generate(tmp_path)
    assert list(tmp_path.iterdir()) == []
