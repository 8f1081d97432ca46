"""The model card: what a model is for and what not, its data, its figures and its limits (Mitchell et al. 2019)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from common.storage import atomic
from server.reporting import findings, formatting, guarantee, tables
from server.reporting.run_record import Result

TEMPLATES = Path(__file__).parent / "templates"


def write_card(result: Result, path: Path, *, licence: str, citation: str) -> None:
    """Write the model card, in Markdown.

    Args:
        result: of a run.
        path: the Markdown file to write.
        licence: the corpus's licence, which the model inherits.
        citation: the corpus's paper.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 -- Markdown has its own escapes, which every value passes
        finalize=plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": formatting.score, "interval": formatting.interval}
    card = environment.get_template("card.md.j2").render(**_content(result), licence=licence, citation=citation)
    atomic.write(path, card)


def plain(value: object) -> object:
    """A value as Markdown that shows it as it is: one line, without markup of its own."""
    if isinstance(value, Markup):
        return value
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))


def _content(result: Result) -> dict[str, Any]:
    corpus, summary = result.corpus, result.summary
    named = [("Federated UAR", "uar"), ("Federated WA", "wa"), ("Federated macro F1", "macro_f1")]
    named += [("Pooled UAR", "pooled_uar"), ("Each site alone, UAR", "local_uar")]
    privacy = result.privacy
    return findings.overview(result) | {
        "promise": guarantee.promised(privacy) if privacy else {},
        "claim": findings.claim(privacy) if privacy else "",
        "together": findings.together(privacy) if privacy else "",
        "result": result,
        "started": guarantee.started(result),
        "heard": {findings.HEARD[name]: figure for name, figure in findings.heard(result).items()},
        "classes": corpus.classes,
        "calibration": result.folds[0].calibration,
        "figures": [(name, figure) for name, key in named if (figure := getattr(summary, key, None))],
        "recalls": tables.recalls(result),
        "splits": [[findings.fold_name(fold), *tables.speaker_counts(fold)] for fold in result.folds],
        "speakers": findings.test_speakers(result),
        # A code block shows its text as it is, and ends at a fence: a command is one line without one.
        "fenced": Markup(" ".join((result.command or "").replace("```", "").split())),  # noqa: S704
    }
