from __future__ import annotations

import os
import shutil
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from common.config.settings import Config, flatten
from common.errors import FederationError
from common.flower import bundle
from common.protocol import RUN_KEYS
from tests.test_house import MODULES, ROOT, imported


def copy(to: Path) -> Path:
    """An installation: all that makes a bundle."""
    for name in ("pyproject.toml", str(bundle.PROJECT), *bundle.files()):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.ROOT / name, to / name)
    return to


def project() -> dict[str, dict[str, object]]:
    table: dict[str, dict[str, object]] = tomllib.loads((bundle.ROOT / bundle.PROJECT).read_text(encoding="utf-8"))
    return table


def reached(*apps: str) -> set[str]:
    """The files that some modules import, and the packages that these lie in."""
    todo, seen = list(apps), set[str]()
    while todo:
        if (module := todo.pop()) in seen:
            continue
        seen.add(module)
        todo += [above for above in (module.rpartition(".")[0],) if above]
        todo += [name for name in imported(path_of(module)) if name in MODULES]
    return {str(path_of(module).relative_to(ROOT)) for module in seen}


def path_of(module: str) -> Path:
    path = ROOT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_it_holds_what_the_two_apps_reach_and_nothing_else() -> None:
    listed = bundle.files()
    assert sorted(reached("client.app", "server.app")) == listed  # what is missing, or too much, stands in bundle.toml
    names = zipfile.ZipFile(BytesIO(bundle.build())).namelist()
    assert sorted(names) == sorted([*listed, "pyproject.toml", ".info/CONTENT"])


def test_nothing_in_it_is_imported_by_a_name_that_is_computed() -> None:
    """Else what the apps reach would not be seen; torchaudio is a library."""
    sources = {name: (ROOT / name).read_text() for name in bundle.files() if name != "common/audio/torchaudio.py"}
    assert [name for name, text in sources.items() if "import_module" in text or "__import__" in text] == []


def test_the_same_code_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = copy(tmp_path / "one"), copy(tmp_path / "two")
    (two / "notes.md").write_text("not sent")
    (two / "server" / "data.json").write_text("{}")
    (two / "common" / "more.py").write_text("x = 1\n")
    (two / ".gitignore").write_text("*.py\n")
    for path in two.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    assert bundle.build(one) == bundle.build(one) == bundle.build(two)


def test_other_code_is_another_bundle(tmp_path: Path) -> None:
    root = copy(tmp_path / "one")
    before = bundle.digest(bundle.build(root))
    with (root / "common" / "errors.py").open("a") as file:
        file.write("x = 1\n")
    assert bundle.digest(bundle.build(root)) != before
    assert len(before) == 64


def test_what_installs_and_lints_fedser_changes_no_sites_hash(tmp_path: Path) -> None:
    root = copy(tmp_path / "one")
    before = bundle.build(root)
    text = (root / "pyproject.toml").read_text()
    other = text.replace("dependencies = [\n", 'dependencies = [\n    "requests>=2",\n').replace("120", "100")
    assert other != text
    (root / "pyproject.toml").write_text(other)
    assert bundle.build(root) == before


@pytest.mark.slow
def test_it_is_what_flower_would_build_from_its_project_file(tmp_path: Path) -> None:
    from flwr.cli.build import build_fab_from_disk

    root = copy(tmp_path / "one")
    (root / "notes.md").write_text("not sent")
    shutil.copy(root / bundle.PROJECT, root / "pyproject.toml")
    assert bundle.build() == build_fab_from_disk(root)


def test_what_is_no_installation_is_named(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="is not an installation of fedser that can be sent"):
        bundle.build(tmp_path)


def test_its_project_file_is_of_this_version() -> None:
    whole = tomllib.loads((bundle.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = project()["project"]
    assert (own["name"], own["version"]) == (whole["name"], whole["version"])


def test_its_run_config_holds_the_defaults_and_the_run_keys() -> None:
    table = project()["tool"]["flwr"]["app"]["config"]  # type: ignore[index]
    found: dict[str, object] = {}
    for name, value in table.items():
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    assert {name: found.pop(name) for name in RUN_KEYS} == dict.fromkeys(RUN_KEYS, "")
    assert found == flatten(Config())
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in flatten(Config()).items()}
    assert set(RUN_KEYS) == {"plan", "out", "cache", "events", "ledger"}
