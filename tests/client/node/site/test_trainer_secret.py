from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from client.node.site import trainer_secret
from client.node.site.node_settings import StateFolder
from common.errors import FedserError


def test_the_trainer_waits_for_what_the_node_makes_once(tmp_path: Path) -> None:
    path, found = StateFolder(folder=tmp_path).secret, []
    trainer = threading.Thread(target=lambda: found.append(trainer_secret.wait(path)))
    trainer.start()
    made = trainer_secret.make(path)
    trainer.join(10)
    assert found == [made] == [trainer_secret.make(path)]  # a node that starts again keeps its trainer
    assert len(made) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_two_sites_have_two_secrets(tmp_path: Path) -> None:
    assert trainer_secret.make(tmp_path / "a" / "secret") != trainer_secret.make(tmp_path / "b" / "secret")


def test_what_is_no_secret_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for text in (b"z" * 64, b"\xff" * 64):
        path.write_bytes(text)
        with pytest.raises(FedserError, match=r"cannot be read .* remove it, and restart the node and the trainer"):
            trainer_secret.wait(path)
