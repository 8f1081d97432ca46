from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from common.errors import FederationError
from server.federation.folder import bundle


def copy(to: Path) -> Path:
    """A small installation: enough of the tree for a bundle."""
    to.mkdir()
    shutil.copy(bundle.ROOT / "pyproject.toml", to)
    for ring in ("client", "common", "server"):
        (to / ring).mkdir()
        shutil.copy(bundle.ROOT / ring / "__init__.py", to / ring)
    shutil.copy(bundle.ROOT / "server" / "app.py", to / "server")
    shutil.copy(bundle.ROOT / "client" / "app.py", to / "client")
    return to


def test_the_same_code_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = copy(tmp_path / "one"), copy(tmp_path / "two")
    (two / "notes.md").write_text("not sent")
    (two / "server" / "data.json").write_text("{}")
    for path in two.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    assert bundle.build(one) == bundle.build(one) == bundle.build(two)


def test_other_code_is_another_bundle(tmp_path: Path) -> None:
    root = copy(tmp_path / "one")
    before = bundle.digest(bundle.build(root))
    (root / "common" / "more.py").write_text("x = 1\n")
    assert bundle.digest(bundle.build(root)) != before
    assert len(before) == 64


@pytest.mark.slow
def test_it_is_what_flower_would_build() -> None:
    from flwr.cli.build import build_fab_from_disk

    assert bundle.build() == build_fab_from_disk(bundle.ROOT)


def test_what_is_no_installation_is_named(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="is not an installation of fedser that can be sent"):
        bundle.build(tmp_path)
