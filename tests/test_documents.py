"""What the documents say is there: files, places in them, commands with their flags, and the drawings of today."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import typer

from common.cli import main
from tests.test_house import LAYERS, MODULES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "docker/site/README.md"]
LINK = re.compile(r'(?:\]\(|src=")([^)"\s]+)[)"]')
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
COMMAND = re.compile(r"(?:^|&& |\s)fedser ((?:\\\n|[^\n&`#])+)")
README_WORDS = 900
FOLDERS = ("client", "common", "docker", "docs", "recogniser", "server", "simulations", "tests")


def prose(path: Path) -> str:
    return CODE.sub("", path.read_text())


def of_document(path: Path) -> str:
    return str(path.relative_to(ROOT))


def slugs(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts name them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_reader_needs_five_minutes() -> None:
    assert len(re.findall(r"\S+", (ROOT / "README.md").read_text())) <= README_WORDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=of_document)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(prose(path)):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        file = path.parent / name if name else path
        assert file.exists(), link
        assert not anchor or anchor in slugs(file), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=of_document)
def test_files_and_tests_that_are_named_are_there(path: Path) -> None:
    """``common/seeds.py`` by its path, ``test_bundle.py`` by its name alone, and the names of tests."""
    if path.name in ("CHANGELOG.md", "LOG.md"):  # which say what was
        return
    files, tests = tree()
    told = re.findall(r"`([^`\s]+)`", path.read_text())
    names = {name for name in told if re.fullmatch(r"\w+\.py", name)} - {"utils.py"}
    assert [name for name in names if name not in files] == []
    assert [name for name in told if re.match(rf"({'|'.join(FOLDERS)})/", name) and not (ROOT / name).exists()] == []
    assert [name for name in told if re.fullmatch(r"test_\w+", name) and name not in tests] == []


@cache
def tree() -> tuple[set[str], set[str]]:
    """The names of the tree's files, and of its tests."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    texts = (file.read_text() for file in files if file.name.startswith("test_"))
    return {file.name for file in files}, {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}


@cache
def program() -> click.Group:
    main.join_rings()
    command = typer.main.get_command(main.app)
    assert isinstance(command, click.Group)
    return command


def commands(path: Path) -> Iterator[str]:
    """The words behind ``fedser`` in a document's code, one command after the other."""
    for code in CODE.findall(path.read_text()):
        yield from COMMAND.findall(code.strip("`"))


def unknown(words: list[str]) -> str | None:
    """What of a command there is not; a word that is no command ends the command's name."""
    command: click.Command = program()
    context = click.Context(command)
    while words and isinstance(command, click.Group) and (found := command.get_command(context, words[0])):
        command, words = found, words[1:]
    if isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return words[0]
    flags = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    return next((word for word in words if word.startswith("-") and word not in {*flags, "-"}), None)


@pytest.mark.parametrize("path", DOCUMENTS, ids=of_document)
def test_commands_have_the_flags_that_documents_give_them(path: Path) -> None:
    wrong = {line: word for line in commands(path) if (word := unknown(line.split()))}
    assert wrong == {}


def test_the_commands_are_found() -> None:
    assert sum(1 for _ in commands(ROOT / "README.md")) > 15
    assert unknown(["simulate", "--epsilon", "8"]) is None
    assert unknown(["simulate", "--epsilom", "8"]) == "--epsilom"
    assert unknown(["corpus", "chek"]) == "chek"
    assert unknown(["simulatte", "--epsilon", "8"]) == "simulatte"


def test_every_wing_is_in_the_architecture() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    wings = {wing for layers in LAYERS.values() for wing in layers}
    assert [wing for wing in sorted(wings) if f"`{wing}`" not in text and f"**{wing}**" not in text] == []


def test_the_drawings_are_of_today() -> None:
    """Where this fails: ``python docs/drawings.py``."""
    drawings = runpy.run_path(str(ROOT / "docs/drawings.py"))
    stops = {stop.module for walk in drawings["WALKS"].values() for stop in walk}
    assert stops <= MODULES
    for name, drawing in drawings["drawings"]().items():
        assert (ROOT / "docs" / name).read_text() == drawing, name
