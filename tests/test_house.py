"""The house rules that a tool doesn't check: who may import whom, how much a folder holds, and that the tree runs."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RINGS = ("client", "common", "recogniser", "server", "simulations")
MAY_IMPORT = {
    "common": {"common"},
    "client": {"client", "common"},
    "server": {"server", "common"},
    "recogniser": {"recogniser", "common"},
    "simulations": set(RINGS),
}
# The wings of each ring, lowest first: a wing imports those before it. The ring's own name stands for the files that
# lie in its folder itself; a file is named where it lies above the others of its folder.
LAYERS = {
    "common": (
        "common",
        "common.strategies",
        "common.config",
        "common.storage",
        "common.processes",
        "common.deployment",
        "common.secure",
        "common.messages",
        "common.voices",
        "common.audio",
        "common.encoders",
        "common.features",
        "common.corpora",
        "common.curation",
        "common.splits",
        "common.models",
        "common.data",
        "common.learning",
        "common.flower",
        "common.privacy.accounting",
        "common.privacy.ledger",
        "common.privacy.per_sample",
        "common.privacy",
        "common.privacy.shared",
        "common.cli",
    ),
    "client": (
        "client",
        "client.node.policy",
        "client.node.gate",
        "client.node.secure",
        "client.node.audit",
        "client.node.site",
        "client.node.flower",
        "client.node.dry_run",
        "client.node.cli",
        "client.personal",
        "client.cli",
    ),
    "server": (
        "server.run",
        "server.messages",
        "server.sites",
        "server.secure",
        "server.records",
        "server.rounds",
        "server",
        "server.reporting",
        "server.federation.folder",
        "server.federation.service",
        "server.federation.runs",
        "server.federation.monitor",
        "server.federation.cli",
        "server.cli",
    ),
    "recogniser": (
        "recogniser",
        "recogniser.sound",
        "recogniser.graph",
        "recogniser.export",
        "recogniser.listening",
        "recogniser.prosody",
        "recogniser.formats",
        "recogniser.pictures",
        "recogniser.recordings",
        "recogniser.monitoring",
        "recogniser.service",
        "recogniser.workers",
        "recogniser.web",
        "recogniser.cli",
    ),
    "simulations": (
        "simulations.synthesis",
        "simulations.engine",
        "simulations.job",
        "simulations.audits.attacks",
        "simulations.audits",
        "simulations.sweep.workers",
        "simulations.sweep.trials",
        "simulations.sweep.statistics",
        "simulations.sweep.page",
        "simulations.sweep",
        "simulations.speed.noop_app",
        "simulations.speed",
        "simulations.hearing",
        "simulations",
    ),
}
MOST_FILES = 14  # in a folder, ``__init__.py`` aside
SAME_NAMES = {"__init__.py", "app.py", "cli.py", "page.py"}  # each ring or wing may have its own
FLOWERS_API = ("flwr.app", "flwr.clientapp", "flwr.serverapp")  # what Flower promises to keep
FLOWERS_INSIDE = (  # the adapters, which alone may use the rest of it: what a release of Flower may touch
    "client/node/flower",
    "common/flower/connections.py",
    "common/flower/internals.py",
    "common/flower/bundle.py",
    "server/federation/runs/submit.py",
    "server/federation/service/superlink.py",
)
COMPARED = {"opensmile"}  # whoever measures against it installs it
FILES = [path for ring in RINGS for path in sorted((ROOT / ring).rglob("*.py"))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports, wherever in it; of a package's names, those that are modules of this tree."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole & MODULES or {node.module or ""}
    return frozenset(names)


def wing_of(module: str) -> str:
    ring = module.partition(".")[0]
    if module in LAYERS[ring]:
        return module
    return module.rpartition(".")[0] or module


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def for_every_file(rule: Callable[[Path], None]) -> Callable[[], None]:
    """A rule of each file as one test, which names all that break it; a test for each costs more than to look at it."""

    def kept() -> None:
        broken = {by_path(path): told for path in FILES if (told := fault(rule, path))}
        assert not broken, "\n".join(f"{path}: {told}" for path, told in broken.items())

    kept.__doc__ = rule.__doc__
    return kept


def fault(rule: Callable[[Path], None], path: Path) -> str | None:
    try:
        rule(path)
    except AssertionError as error:
        return str(error) or "breaks the rule"
    return None


@for_every_file
def test_imports_go_inwards_only(path: Path) -> None:
    ring, *wings = path.relative_to(ROOT).parts[:-1]
    found = {name.partition(".")[0] for name in imported(path)}
    assert found & set(RINGS) <= MAY_IMPORT[ring]
    if ring == "common" and wings[:1] != ["flower"]:
        assert "flwr" not in found
    if (ring, *wings[:1]) != ("common", "privacy") and path.stem != "training_steps":  # which is measured against it
        assert "opacus" not in found
    if not {"reporting", "page", "pictures"} & set(wings):
        assert "matplotlib" not in found
    assert not found & {"tests", "benchmarks", "examples", "pickle"}


@for_every_file
def test_a_wing_imports_those_below_it(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    order = LAYERS[module.partition(".")[0]]
    own = wing_of(module)
    if not path.read_text().count("\nimport ") + path.read_text().count("\nfrom "):
        return  # a package's docstring
    own_ring = {wing_of(name) for name in imported(path) if name in MODULES and name.startswith(order[0].split(".")[0])}
    above = {wing for wing in own_ring if order.index(wing) > order.index(own)}
    assert not above, f"{module} lies in {own} and imports {', '.join(sorted(above))}"


@for_every_file
def test_the_node_trusts_nothing_that_a_bundle_brings(path: Path) -> None:
    """It runs the site's own copy of ``common``; the app's code is for the trainer and for dry runs."""
    parts = path.relative_to(ROOT).parts
    if parts[:2] == ("client", "node") and parts[2:3] != ("dry_run",):
        assert not {name for name in imported(path) if name in MODULES and wing_of(name) in ("client", "client.cli")}


@for_every_file
def test_flowers_inside_is_for_the_adapters(path: Path) -> None:
    used = {name for name in imported(path) if name.startswith("flwr") and not name.startswith(FLOWERS_API)}
    assert not used or by_path(path).startswith(FLOWERS_INSIDE), f"put {', '.join(sorted(used))} behind an adapter"


def test_every_folder_of_code_is_a_wing_with_a_word_on_what_lives_there() -> None:
    for folder in {path.parent for path in FILES}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert text, folder
        assert len(text.splitlines()) <= 5, folder
        name = ".".join(folder.relative_to(ROOT).parts)
        if any(path.name != "__init__.py" for path in folder.glob("*.py")):
            assert name in LAYERS[name.partition(".")[0]], f"{name} is in no row of the layers"


def test_folders_are_small() -> None:
    held = Counter(str(path.parent.relative_to(ROOT)) for path in FILES if path.name != "__init__.py")
    assert {folder: count for folder, count in held.items() if count > MOST_FILES} == {}


def test_a_files_name_says_where_it_belongs() -> None:
    assert [path for path in FILES if path.stem == path.parent.name] == []
    names = Counter(path.name for path in FILES if path.name not in SAME_NAMES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("ring", RINGS)
def test_the_packages_are_those_of_this_tree(ring: str) -> None:
    """Other projects install top-level packages of such names too."""
    assert Path(str(importlib.import_module(ring).__file__)).parent == ROOT / ring


@pytest.mark.parametrize("ring", RINGS)
def test_types_are_shipped(ring: str) -> None:
    """The wheel takes whatever lies in a ring's folder."""
    assert (ROOT / ring / "py.typed").is_file()


def test_the_dependencies_are_pinned() -> None:
    pins = {canonicalize_name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    assert all("==" in text for text in whole["build-system"]["requires"])
    extras = {name: own for name, own in project["optional-dependencies"].items() if name not in ("docs", "notebook")}
    asked = [*project["dependencies"], *(text for own in extras.values() for text in own)]
    assert {canonicalize_name(Requirement(text).name) for text in asked} <= pins


def test_what_is_imported_is_declared() -> None:
    """What comes along with another package may go with it."""
    from importlib.metadata import packages_distributions

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: own for name, own in project["optional-dependencies"].items() if name not in ("docs", "dev")}
    asked = [*project["dependencies"], *(text for own in extras.values() for text in own)]
    declared = {canonicalize_name(Requirement(text).name) for text in asked}
    known = packages_distributions()
    names = {name.partition(".")[0] for name in set().union(*map(imported, FILES))}
    names -= sys.stdlib_module_names | set(RINGS) | COMPARED
    undeclared = {name for name in names if not declared & {canonicalize_name(each) for each in known.get(name, [])}}
    assert undeclared == set()
