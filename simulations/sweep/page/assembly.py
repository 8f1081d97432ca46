"""The page, the same tables as Markdown and CSV, the figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.storage import atomic
from server.reporting import pages
from simulations.sweep.page.chapter import chapter
from simulations.sweep.page.layout import Chapter
from simulations.sweep.statistics.series import Benchmark

OWN = Path(__file__).parent / "templates"


def write_page(benchmarks: Sequence[Benchmark], out: Path) -> Path:
    """Write ``report.html``, ``report.md``, ``tables/`` and ``figures/``; the same lines give the same bytes.

    Args:
        benchmarks: one or more, each a chapter.
        out: the folder.

    Returns:
        Where the page is.

    Raises:
        FedserError: the folder cannot be written.
    """
    prefixes = [""] if len(benchmarks) == 1 else [f"b{number}-" for number in range(1, len(benchmarks) + 1)]
    chapters = [chapter(own, prefix) for own, prefix in zip(benchmarks, prefixes, strict=True)]
    environment = pages.html(OWN)
    promises = {unit: words for own in chapters for unit, words in own.promises.items()}
    page = environment.get_template("page.html.j2").render(chapters=chapters, promises=promises)
    for own in chapters:
        _write_files(own, out)
    atomic.write(out / "report.md", "\n".join(_markdown(own) for own in chapters))
    atomic.write(out / "report.html", page)
    return out / "report.html"


def _write_files(own: Chapter, out: Path) -> None:
    for section in own.sections:
        for figure in section.figures:
            svg, png = figure.files(own.command)
            atomic.write(out / "figures" / f"{figure.key}.svg", svg)
            atomic.write(out / "figures" / f"{figure.key}.png", png)
            atomic.write(out / "tables" / f"{figure.key}.csv", figure.table.csv())
        for key, table in {**section.tables, **section.folded}.items():
            atomic.write(out / "tables" / f"{own.key}{key}.csv", table.csv())


def _markdown(own: Chapter) -> str:
    """A chapter as Markdown, its figures as images."""
    lines = [f"# What privacy costs in accuracy: {own.heading}", ""]
    lines += ["**Made from synthetic speech: the figures say nothing about real people.**", ""] if own.synthetic else []
    lines += ["**Not private: --insecure-seed.**", ""] if own.insecure else []
    lines += [*(f"- {sentence}" for sentence in own.meaning), ""]
    lines += [f"> {note}\n" for note in own.notes]
    for section in own.sections:
        lines += [f"## {section.heading}", "", f"{section.words}\n"]
        for figure in section.figures:
            lines += [
                f"![{figure.heading}](figures/{figure.key}.svg)",
                "",
                figure.caption,
                "",
                figure.table.markdown(),
            ]
        lines += [table.markdown() for table in section.tables.values()]
        lines += [table.markdown() for table in section.folded.values()]
    return "\n".join([*lines, "Made by:", "", "```", own.command, "```", ""])
