"""A result as tables for a notebook: rows for pandas, and a few lines of HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from common.errors import UsageError
from server.reporting import findings, pages, tables
from server.reporting.run_record import Result

Row = dict[str, Any]


def frame(result: Result, rows: str) -> Any:
    """A ``pandas.DataFrame``; see ``Result.to_pandas``.

    Raises:
        UsageError: there is no such table, or pandas is not installed.
    """
    if rows not in _ROWS:
        raise UsageError(f"rows is {rows!r}, expected {', '.join(_ROWS)}")
    try:
        import pandas
    except ImportError:
        raise UsageError("to_pandas needs pandas, which is not installed: install fedser[notebook]") from None
    return pandas.DataFrame(list(_ROWS[rows](result)))


def of_folds(result: Result) -> Iterator[Row]:
    """A row a fold: its held-out figures, those of the baselines, the chosen round, the largest ε of its sites."""
    for fold in result.folds:
        yield {
            "fold": fold.fold,
            **{name: getattr(fold.test, name, None) for name in ("uar", "wa", "macro_f1", "loss")},
            "pooled_uar": findings.pooled_uar(fold),
            "local_uar": findings.local_uar(fold),
            "chosen_round": fold.chosen_round,
            "epsilon": findings.largest_epsilon(fold.privacy) if fold.privacy else None,
        }


def of_rounds(result: Result) -> Iterator[Row]:
    """A row a round of a fold, with the figures on the validation speakers, where there are some."""
    for fold in result.folds:
        for entry in (*fold.rounds, *(fold.refit or ())):
            row = {"fold": fold.fold, "round": entry.round, "refit": entry.refit is not None, "seconds": entry.seconds}
            yield row | {name: getattr(entry.validation, name, None) for name in ("uar", "wa", "macro_f1", "loss")}


def of_sites(result: Result) -> Iterator[Row]:
    """A row a site of a round, with what it told."""
    for fold in result.folds:
        for entry in (*fold.rounds, *(fold.refit or ())):
            for site, told in entry.sites.items():
                figures = ("examples", "loss", "uar", "seconds", "bytes", "epsilon")
                row = {"fold": fold.fold, "round": entry.round, "site": site}
                yield row | {name: getattr(told, name) for name in figures}


_ROWS: dict[str, Callable[[Result], Iterable[Row]]] = {"folds": of_folds, "rounds": of_rounds, "sites": of_sites}


def as_html(result: Result) -> str:
    """What a notebook shows: the corpus, the privacy, and the report's table of models."""
    about = findings.overview(result)
    head = f"{about['corpus']}: {len(result.corpus.classes)} emotions, {about['sites']}, {about['strategy']}"
    privacy = "without differential privacy"
    if result.privacy is not None:
        privacy = f"with differential privacy for each {result.privacy.unit}, {findings.claim(result.privacy)}"
        privacy += f". {every[:-1]}" if (every := findings.together(result.privacy)) else ""
    made_up = "; synthetic speech: nobody ever spoke it" if result.corpus.synthetic else ""
    note = f"{privacy}{made_up}. {about['interval_note']}"
    page = pages.html().get_template("notebook.html.j2")
    return page.render(head=head, models=tables.comparison(result), note=note)
