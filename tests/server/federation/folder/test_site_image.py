from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import pytest

from server.federation.folder import site_image

ID = "sha256:" + 64 * "a"


def docker(folder: Path, text: str) -> None:
    """A Docker that answers as a script does."""
    folder.mkdir(exist_ok=True)
    (folder / "docker").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "docker").chmod(0o755)


def test_it_is_what_docker_says_of_the_sites_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("FEDSER_SITE_IMAGE", raising=False)
    docker(tmp_path, f'echo "$@" > {tmp_path}/asked; echo {ID}')
    assert site_image.identity() == ID
    own = f"fedser-site:{importlib.metadata.version('fedser')}"
    assert (tmp_path / "asked").read_text() == f"image inspect --format {{{{.Id}}}} {own}\n"
    monkeypatch.setenv("FEDSER_SITE_IMAGE", "registry.example.org/site:7")
    site_image.identity()
    assert (tmp_path / "asked").read_text().endswith(" registry.example.org/site:7\n")


@pytest.mark.parametrize("text", [None, "exit 1", "sleep 9"], ids=["no Docker", "no image", "no answer"])
def test_where_nothing_is_known_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.setattr(site_image, "SECONDS", 0.2)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if text else str(tmp_path))
    if text:
        docker(tmp_path, text)
    assert site_image.identity() == ""


def test_the_wheels_are_those_of_the_image_or_of_the_wheelhouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(site_image, "WHEELHOUSE", tmp_path / "wheelhouse")
    assert site_image.wheels() == ""
    for place, text in (("wheelhouse", b"ab  numpy.whl\n"), ("venv", b"cd  numpy.whl\n")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "SHA256SUMS").write_bytes(text)
        assert site_image.wheels() == hashlib.sha256(text).hexdigest()
