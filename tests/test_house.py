"""The house rules that a tool doesn't check: who may import whom, and that the tree itself runs."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RINGS = ("client", "common", "server", "simulations")
MAY_IMPORT = {
    "common": {"common"},
    "client": {"client", "common"},
    "server": {"server", "common"},
    "simulations": set(RINGS),
}
FILES = [path for ring in RINGS for path in sorted((ROOT / ring).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_inwards_only(path: Path) -> None:
    ring = path.relative_to(ROOT).parts[0]
    found = imported(path)
    assert found & set(RINGS) <= MAY_IMPORT[ring]
    if ring == "common" and path.name != "packing.py":  # which is about Flower's records, at both of their ends
        assert "flwr" not in found
    if path.parent.name != "privacy":
        assert "opacus" not in found
    if path.name not in ("figures.py", "drawing.py", "against_epsilon.py"):
        assert "matplotlib" not in found
    assert not found & {"tests", "benchmarks", "examples", "pickle"}


@pytest.mark.parametrize("ring", RINGS)
def test_the_packages_are_those_of_this_tree(ring: str) -> None:
    """Other projects install top-level packages of such names too."""
    assert Path(str(importlib.import_module(ring).__file__)).parent == ROOT / ring


@pytest.mark.parametrize("ring", RINGS)
def test_types_are_shipped(ring: str) -> None:
    """The wheel takes whatever lies in a ring's folder."""
    assert (ROOT / ring / "py.typed").is_file()


def test_the_dependencies_are_pinned() -> None:
    import tomllib

    from packaging.requirements import Requirement

    pins = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    assert all("==" in text for text in whole["build-system"]["requires"])
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {Requirement(text).name for text in asked} <= pins
