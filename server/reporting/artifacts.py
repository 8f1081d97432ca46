"""What a finished run leaves and says, simulated or deployed: result, model, card, report, scalars, a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from common.corpora import catalogue
from common.errors import FedserError
from common.escaping import one_line
from common.progress import Display
from common.storage import atomic
from server.reporting.card import write_card
from server.reporting.findings import HEARD, NOT_SCORED, claim, heard, together, unheard
from server.reporting.guarantee import started
from server.reporting.report import write_report
from server.reporting.run_record import Result, Summary
from server.reporting.scalars import write_scalars
from server.run import checkpoint

DRAWN = ("MODEL_CARD.md", "report.html", "tensorboard")
log = logging.getLogger("fedser.reporting")


def leave(whole: Result, out: Path, model: Path) -> None:
    """Write everything that a run leaves in its folder beside its folds: first the result and the model.

    Args:
        whole: the run's result.
        out: the run's folder.
        model: the ``model.safetensors`` that is the run's, there or elsewhere.

    Raises:
        FedserError: the result or the model can't be written; all folds are there, and ``--resume`` writes it.
    """
    keep(whole, out, model)
    draw(whole, out)


def keep(whole: Result, out: Path, model: Path) -> None:
    """Write the result and the model of a run; as ``leave``, without what is drawn from them."""
    atomic.write(out / "result.json", json.dumps(whole.as_json(), indent=1), durable=True)
    if model != out / "model.safetensors":
        atomic.write(out / "model.safetensors", model.read_bytes())
    _keep_before_refit(whole, out, model.with_name("checkpoint.safetensors"))


def _keep_before_refit(whole: Result, out: Path, path: Path) -> None:
    """Beside a model that trained once more with the validation speakers, the one to which they are strangers."""
    if not (whole.folds[0].refit and path.exists()):
        return
    from common.learning import before_refit  # torch: a second to import

    own = out / before_refit.FILE
    attempt(own, lambda: before_refit.keep_before_refit(out / "model.safetensors", checkpoint.load(path).best))


def draw(whole: Result, out: Path) -> None:
    """Try to write what is drawn from a result.

    A full disk or a name costs a page, and not the hours before: a line says what is missing.

    Args:
        whole: the run's result.
        out: the run's folder.
    """
    module = catalogue.CORPORA[whole.corpus.name]
    card, report, scalars = (out / name for name in DRAWN)
    attempt(card, lambda: write_card(whole, card, licence=module.LICENCE, citation=module.cite()))
    attempt(report, lambda: write_report(whole, report))
    attempt(scalars, lambda: write_scalars(scalars, whole.folds))


def attempt(path: Path, write: Callable[[], object], kept: str = "result.json and model.safetensors") -> bool:
    """Write what is made of a result, and say it in a line where that can't be done; whether it was done.

    Args:
        path: of what is written.
        write: does it.
        kept: what is there all the same.
    """
    try:
        write()
    except Exception as error:
        why = str(error) if isinstance(error, FedserError) else f"{type(error).__name__}: {error}"
        log.warning("%s is missing (%s); %s are whole", path, one_line(why), kept)
        return False
    return True


def tell(whole: Result, out: Path, display: Display) -> None:
    """Print the figures in a table, and where the rest lies."""
    if whole.summary is None:
        display.say(NOT_SCORED)
    else:
        _tell_scores(whole, whole.summary, display)
    for said in filter(None, (unheard(whole) if whole.summary else "", started(whole))):
        display.say(said)
    if any(fold.personal for fold in whole.folds):
        display.say("Each site's own model is in the report; none was kept, and none is private")
    if whole.privacy:
        display.say(f"Private for each {whole.privacy.unit}, {claim(whole.privacy)}. {together(whole.privacy)}".strip())
    report, others = out / "report.html", ["result.json", "model.safetensors", "MODEL_CARD.md"]
    there = [name for name in others if (out / name).exists()]
    if report.exists():
        display.say(f"{report}: the report; {', '.join(there)} lie beside it")
    else:
        display.say(f"{out}: {', '.join(there)}; what is missing is written again by --resume")


def _tell_scores(whole: Result, summary: Summary, display: Display) -> None:
    table = Table(title="Held-out speakers" + (" (synthetic speech)" if whole.corpus.synthetic else ""))
    for heading in ("", "mean over folds", "95 % interval"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"UAR": "uar", "WA": "wa", "macro-F1": "macro_f1", "pooled UAR": "pooled_uar", "local UAR": "local_uar"}
    strangers = {f"UAR, {HEARD[name]}": own for name, own in heard(whole).items()}
    if "all" in heard(whole):
        rows = {f"{label}, likewise": key for label, key in rows.items() if label != "UAR"}
    for label, figure in {**strangers, **{name: getattr(summary, key) for name, key in rows.items()}}.items():
        if figure:
            interval = figure.ci95
            between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"
            table.add_row(label, f"{figure.mean:.3f}", between)
    display.console.print(table)
