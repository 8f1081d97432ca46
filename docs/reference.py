"""Builds the reference: ``python docs/reference.py DIR``, or ``make docs``.

Every public name of the four rings by its docstring (pdoc), and the documents beside it, as pages that need no network.
What warns, a module that does not import, markup that is left as it was typed, and a link that leads nowhere end it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pdoc
from pdoc import render, render_helpers

ROOT = Path(__file__).parents[1]
RINGS = ("simulations", "recogniser", "client", "server", "common")
GENERATED = ("!recogniser.service.emotion_pb2", "!recogniser.service.emotion_pb2_grpc")  # emotion.proto is what is read
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "LOG.md"]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
PICTURES = [path for path in sorted((ROOT / "docs").iterdir()) if path.suffix in (".png", ".svg")]
LINK = re.compile(r'(<(?:a|img)\b[^>]*?\b(?:href|src)=")([^"]+)(")')
ANCHOR = re.compile(r'<a href="([^"]+)">(.*?)</a>', re.DOTALL)
MERMAID = re.compile(r"^```mermaid\n.*?^```\n", re.DOTALL | re.MULTILINE)  # drawn by code hosts; here it would be code
AS_TYPED = re.compile(r"<(script|style|svg|pre|code)\b.*?</\1>|<[^>]+>", re.DOTALL)  # what markup is not looked for in


class BrokenPageError(Exception):
    """A page would be wrong; the reason in a line."""


def build(folder: Path) -> None:
    """Write all pages into a folder, which is replaced.

    Raises:
        BrokenPageError: a page would be wrong.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of libraries, when they are imported
        # mypy checks annotations; one that means something to it alone is shown as it is written
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        sys.path.insert(0, str(ROOT))
        show_whole(importlib.import_module("simulations"))
        render.configure(docformat="google", show_source=False)
        pdoc.pdoc(*RINGS, *GENERATED, output_directory=folder)
    for page in sorted(folder.rglob("*.html")):
        refuse_leftovers(page.relative_to(folder), page.read_text())
    for picture in PICTURES:
        (folder / "docs").mkdir(exist_ok=True)
        shutil.copy(picture, folder / "docs")
    for document in DOCUMENTS:
        own = document.relative_to(ROOT)
        write(folder, own.with_suffix(".html"), document.read_text(), own.parent)
    write(folder, Path("index.html"), index(), Path())
    refuse_dead_links(folder)


def show_whole(package: ModuleType) -> None:
    """Let pdoc see the names that a package has only once they are asked for, and its wings beside them."""
    names = vars(package).get("__all__", [])
    for name in names:
        setattr(package, name, getattr(package, name))
    if names:
        package.__dict__["__all__"] = [*names, *(own.name for own in pkgutil.iter_modules(package.__path__))]


def index() -> str:
    """The first page, in Markdown."""
    lines = ["# fedser: the reference", "", "## From Python", ""]
    lines += [f"- {line}" for line in public_names()]
    lines += ["", "## Documents", ""]
    for document in DOCUMENTS:
        title = document.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({document.relative_to(ROOT)})")
    for ring in RINGS:
        lines += ["", f"## {ring}", "", summary(importlib.import_module(ring)), ""]
        lines += [f"- [{name}]({name.replace('.', '/')}.html): {first}" for name, first in wings(ring)]
    return "\n".join(lines)


def public_names() -> Iterator[str]:
    """What a program imports from ``simulations``, each with its first sentence."""
    package: Any = importlib.import_module("simulations")
    for name in vars(package).get("__all__", []):
        found = getattr(package, name)
        if not inspect.ismodule(found):
            yield f"[simulations.{name}](simulations.html#{name}): {summary(found)}"


def wings(ring: str) -> Iterator[tuple[str, str]]:
    """The packages of a ring, with what their docstrings say lives there."""
    package = importlib.import_module(ring)
    for found in pkgutil.walk_packages(package.__path__, f"{ring}."):
        if found.ispkg:
            yield found.name, summary(importlib.import_module(found.name))


def summary(found: object) -> str:
    """The first paragraph of a docstring, in Markdown."""
    return " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split()).replace("``", "`")


def write(folder: Path, page: Path, markdown: str, home: Path) -> None:
    """Write a document as a page.

    Args:
        folder: of all pages.
        page: where in it.
        markdown: the document.
        home: the folder that its links start from, in the tree.
    """
    made = render_helpers.to_html(MERMAID.sub("", markdown))
    body = ANCHOR.sub(lambda link: linked(link[1], link[2], home), str(made))
    refuse_leftovers(page, body)
    title, up = markdown.partition("\n")[0].removeprefix("# "), "../" * len(page.parent.parts)
    text = render.env.from_string(SHELL).render(title=title, body=body, up=up, contents=getattr(made, "toc_html", ""))
    path = folder / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


SHELL = """{% extends "frame.html.jinja2" %}
{% block title %}{{ title }}{% endblock %}
{% block style %}{{ super() }}<style>
main img { max-width: 100% } main.pdoc pre { background: #f6f8fa; padding: .6rem; overflow: auto }
</style>{% endblock %}
{% block nav %}<a class="pdoc-button" href="{{ up }}index.html">All pages</a>{{ contents | safe }}{% endblock %}
{% block content %}<main class="pdoc"><div class="docstring">{{ body | safe }}</div></main>{% endblock %}"""


def linked(link: str, words: str, home: Path) -> str:
    """A document's link among the pages: to another document, to a module's page, or out as it is.

    A file of the tree that has no page keeps its words alone.

    Raises:
        BrokenPageError: it leads nowhere.
    """
    path, sharp, anchor = link.partition("#")
    if not path or re.match(r"[a-z]+:", link) or path.endswith(".html"):
        return f'<a href="{link}">{words}</a>'
    file = (ROOT / home / path).resolve()
    if not file.exists():
        raise BrokenPageError(f"{home / path}: a document links to it, and it is not there")
    own = file.relative_to(ROOT)
    if file not in DOCUMENTS and (own.suffix != ".py" or own.parts[0] not in RINGS):
        return words
    page = Path(path).parent.with_suffix(".html") if own.name == "__init__.py" else Path(path).with_suffix(".html")
    return f'<a href="{page}{sharp}{anchor}">{words}</a>'


def refuse_leftovers(page: Path, html: str) -> None:
    """Refuse a page with markup that was not understood.

    Raises:
        BrokenPageError: it has some.
    """
    for line in unescape(AS_TYPED.sub("", html)).splitlines():
        if "``" in line:
            raise BrokenPageError(f"{page}: markup was left as it is: {line.strip()[:100]}")


def refuse_dead_links(folder: Path) -> None:
    """Look up every link of the documents' pages, and its place in the page.

    Raises:
        BrokenPageError: one leads nowhere.
    """
    pages = [folder / "index.html", *(folder / path.relative_to(ROOT).with_suffix(".html") for path in DOCUMENTS)]
    for page in pages:
        for _, link, _ in LINK.findall(page.read_text()):
            path, _, anchor = unescape(link).partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and f'id="{anchor}"' not in file.read_text()):
                raise BrokenPageError(f"{page.relative_to(folder)}: the link to {link} leads nowhere")


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]))
    except BrokenPageError as error:
        sys.exit(str(error))
