"""``fedser corpus``: look at a corpus before anything is trained on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common import escaping
from common.cli import options
from common.escaping import one_line

if TYPE_CHECKING:  # numpy comes with it, and --help has no use for that
    from common.curation.preflight import Preflight
    from common.curation.problems import Problem
    from common.curation.selection import Selection

corpus = typer.Typer(no_args_is_help=True, suggest_commands=False, help="List, check and synthesize corpora.")
_SHOWN = 5  # problems of a kind, and speakers, before the rest is only counted


@corpus.command("list", epilog="Example: fedser corpus list")
def list_corpora(as_json: options.JsonOutput = False) -> None:
    """The corpora that fedser reads: licence, where to get them, what to cite."""
    from common.corpora.catalogue import CORPORA

    facts = {
        name: {
            "licence": module.LICENCE,
            "source": module.SOURCE,
            "language": module.LANGUAGE,
            "classes": list(module.CLASSES),
            "cite": module.cite(),
        }
        for name, module in CORPORA.items()
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, fact in facts.items():
        typer.secho(name, bold=True)
        for title, key in (("licence", "licence"), ("get it", "source"), ("cite", "cite")):
            typer.echo(f"  {title:8} {fact[key]}")
        typer.echo(f"  {'classes':8} {', '.join(fact['classes'])}")


@corpus.command(
    epilog="Example: fedser corpus check --corpus iemocap --root ~/IEMOCAP_full_release --classes ang sad neu"
)
def check(
    corpus: options.CorpusName = None,
    root: options.Root = None,
    classes: options.Classes = None,
    label_map: options.LabelMap = None,
    style: options.Style = None,
    strict: options.Strict = False,
    speaker_ids: options.SpeakerIds = None,
    outside_root: options.OutsideRoot = False,
    as_json: options.JsonOutput = False,
) -> None:
    """Read every chosen recording once: count what is usable, and name what is not.

    Exits with 0 if the corpus can be used, with 1 and what to do if not.
    """
    from common.config.settings import DataConfig
    from common.curation import preflight
    from common.curation.selection import list_corpus
    from common.errors import UsageError

    if corpus is None:
        raise UsageError(f"--corpus is missing, expected one of {', '.join(options.CORPORA)}")
    chosen = options.classes(classes)
    data = DataConfig(
        corpus=corpus,
        root=root or "",
        classes=chosen,
        label_map=label_map or "",
        style=style or "",
        strict=strict,
        speaker_ids=speaker_ids or "",
        outside_root=outside_root,
    )
    selection = list_corpus(data)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=len(selection.utterances))
        result = preflight.check(selection, progress=lambda done: bar.update(task, completed=done))
    if as_json:
        typer.echo(escaping.as_json(preflight.as_json(result), indent=2))
    else:
        _show(selection, result)
    todo = result.obstacles() + (["--strict: mend or remove every problem"] if strict and result.problems else [])
    _verdict(selection, result, todo, to_stderr=as_json)
    raise typer.Exit(1 if todo else 0)


def _show(selection: Selection, result: Preflight) -> None:
    console = Console(highlight=False)
    made_up = " (synthetic: nobody ever spoke it)" if selection.synthetic else ""
    console.print(f"{result.corpus}{made_up} at {one_line(selection.root)}", markup=False, soft_wrap=True)
    console.print(
        f"{result.utterances} of {len(selection.utterances)} chosen utterances usable, {result.hours:.2f} hours"
    )
    table = Table("", "utterances", box=None, header_style="bold", pad_edge=False)
    for title, counts in (("class", result.classes), ("session", result.sessions), ("rate", result.sample_rates)):
        for name, count in counts.items():
            table.add_row(f"{title} {one_line(name)}" + (" Hz" if title == "rate" else ""), str(count))
    table.add_row(*_spread("speakers", result.speakers))
    console.print(table, markup=False)
    for kind, group in groupby(result.problems, key=lambda problem: problem.kind):
        _show_problems(console, kind, list(group))


def _spread(title: str, counts: Mapping[str, int]) -> tuple[str, str]:
    spread = f"{min(counts.values())} to {max(counts.values())} each" if counts else ""
    return f"{len(counts)} {title}", spread


def _show_problems(console: Console, kind: str, problems: list[Problem]) -> None:
    console.print(f"\n{kind}: {len(problems)}", style="yellow", markup=False)
    for problem in problems[:_SHOWN]:
        console.print(f"  {one_line(problem.path)}: {one_line(problem.detail)}", markup=False, soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"  and {len(problems) - _SHOWN} more; --json lists all")


def _verdict(selection: Selection, result: Preflight, todo: list[str], *, to_stderr: bool) -> None:
    synthetic = "synthetic, " if selection.synthetic else ""
    problems = f"{len(result.problems)} problem{'' if len(result.problems) == 1 else 's'}"
    line = f"not usable ({synthetic}{problems}): {'; '.join(todo)}" if todo else f"usable ({synthetic}{problems})"
    if not to_stderr or todo or selection.synthetic:
        typer.echo(line, err=to_stderr)
