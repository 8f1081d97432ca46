"""What ledgers say: what was spent, when, and by which run.

Guarantee of each ε: that of ``common.privacy.accounting.accountants``, for the unit (its contribution is nothing, or
not) and the δ beside it, over the steps that count. Those of runs that hid a coarser unit count too, with less noise;
where some hid only a finer one there is no bound. ``epsilon`` is PRV's, and takes all parameters for fixed without a
look at earlier outputs; ``epsilon_rdp`` is some per cent larger. With an insecure seed neither holds. Public: only what
the site publishes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.config.units import finest
from common.errors import LedgerError
from common.privacy.accounting.accountants import epsilon_prv, epsilon_rdp
from common.privacy.ledger.entries import Account, account
from common.storage.chained_file import Chain
from common.storage.hash_chain import head_of

_SHOWN = 40  # runs; of more, only the ledgers, or, of a single one, its last
_COLUMNS = (  # the heading, its least width
    ("run", 16),
    ("begun (UTC)", 16),
    ("rounds", 6),
    ("steps", 6),
    ("rate", 7),
    ("noise", 7),
    ("ε", 6),
)


def show(path: Path) -> dict[str, Any]:
    """Read and verify ledgers.

    Args:
        path: a ledger, a folder of them, however deep, or the folder of a run, which has them under ``ledger``.

    Returns:
        JSON-ready: ``{"ledgers": [{"name", "entries", "head", "units", "budget_unit", "budget", "runs"}]}``. ``name``
        is the path within the folder. ``units``: by unit ``epsilon``, ``epsilon_rdp``, ``delta`` (the smallest of its
        runs') and ``steps``. ``budget_unit``: of these the one that a budget is for, null where no run has begun;
        ``budget``: that the last run had, null for none.
        ``runs``: ``run``, ``begun``, ``last`` (reserved), ``unit``, ``rounds``, ``steps``, ``sample_rate``,
        ``noise_multiplier``, ``delta``, ``target_epsilon``, ``epsilon`` (of this run alone), ``refused`` and ``voided``
        (rounds), ``insecure_seed``. An ε is null where no noise bounds it.

    Raises:
        LedgerError: there is no ledger; or a line of one was changed, which it names.
    """
    root = path / "ledger" if (path / "ledger").is_dir() else path
    files = sorted(root.rglob("*.jsonl")) if root.is_dir() else [path]
    if not files or not files[0].exists():
        raise LedgerError(f"no ledger at {path}, expected a ledger's .jsonl file or a folder that holds some")
    return {"ledgers": [_ledger(file, file.relative_to(root) if root.is_dir() else Path(file.name)) for file in files]}


def render(view: dict[str, Any]) -> RenderableType:
    """What ``show`` returned, as a table a ledger, and no more than is read: of many runs, it says how to see all."""
    ledgers = view["ledgers"]
    runs = sum(len(ledger["runs"]) for ledger in ledgers)
    if runs > _SHOWN and len(ledgers) > 1:
        more = f"{runs} runs in {len(ledgers)} ledgers; give one ledger to see its runs, or --json"
        return Group(*map(_summary, ledgers), more)
    parts: list[RenderableType] = []
    for ledger in ledgers:
        parts += [_summary(ledger), _table(ledger["runs"][-_SHOWN:], heading=ledger is ledgers[0])]
    if runs > _SHOWN:
        parts.append(f"and {runs - _SHOWN} earlier runs; --json lists all")
    return Group(*parts)


def _ledger(file: Path, name: Path) -> dict[str, Any]:
    entries = Chain(file).read()
    if not entries and file.stat().st_size:
        raise LedgerError(f"{file} has no whole line, expected a ledger")
    head, summed = head_of(entries), account(entries, file)
    begun = list(summed.terms.values())
    units = sorted({terms["unit"] for terms in begun})
    return {
        "name": name.with_suffix("").as_posix(),
        "entries": head.entries,
        "head": head.hash,
        "units": {unit: _unit(summed, unit) for unit in units},
        "budget_unit": finest(units) if units else None,
        "budget": begun[-1].get("budget") if begun else None,
        "runs": [_run(summed, run) for run in summed.terms],
    }


def _unit(summed: Account, unit: str) -> dict[str, Any]:
    spends = summed.spends(unit)
    delta = min(terms["delta"] for terms in summed.terms.values() if terms["unit"] == unit)
    return {
        "epsilon": _finite(epsilon_prv(spends, delta)),
        "epsilon_rdp": _finite(epsilon_rdp(spends, delta)),
        "delta": delta,
        "steps": sum(spend.steps for spend in spends),
    }


def _run(summed: Account, run: str) -> dict[str, Any]:
    terms = summed.terms[run]
    own = [reservation for (name, _), reservation in summed.reservations.items() if name == run]
    spends = [reservation.spend for reservation in own]
    return {
        "run": run,
        "begun": summed.begun[run],
        "last": own[-1].time if own else None,
        "unit": terms["unit"],
        "rounds": len(own),
        "steps": sum(spend.steps for spend in spends),
        "sample_rate": terms["sample_rate"],
        "noise_multiplier": terms["noise_multiplier"],
        "delta": terms["delta"],
        "target_epsilon": terms.get("target_epsilon"),
        "epsilon": _finite(epsilon_prv(spends, terms["delta"])),
        "refused": summed.refused[run],
        "voided": summed.voided[run],
        "insecure_seed": bool(terms.get("insecure_seed", False)),
        **({"honest": terms["honest"]} if terms.get("honest") else {}),
    }


def _summary(ledger: dict[str, Any]) -> Text:
    """A ledger in a line."""
    spent = [
        f"{name} ε {_number(unit['epsilon'])}, RDP {_number(unit['epsilon_rdp'])}, δ {unit['delta']:g}"
        for name, unit in ledger["units"].items()
    ]
    lines = "1 line" if ledger["entries"] == 1 else f"{ledger['entries']} lines"
    if ledger["budget"]:
        spent.append(f"budget {ledger['budget']:g} for each {ledger['budget_unit']}")
    about = "; ".join(spent) or "nothing begun"
    return Text.assemble((ledger["name"], "bold"), f"  {about}; {lines}, head {ledger['head'][:8]}")


def _table(runs: list[dict[str, Any]], *, heading: bool) -> Table:
    table = Table(box=None, show_header=heading, header_style="italic", padding=(0, 1, 0, 0))
    for title, width in _COLUMNS:
        right = title not in ("run", "begun (UTC)")
        table.add_column(title, min_width=width, overflow="fold", justify="right" if right else "left")
    table.add_column("unit")
    for run in runs:
        table.add_row(*_row(run))
    return table


def _row(run: dict[str, Any]) -> list[str]:
    notes = [run["unit"], *(f"{run[what]} {what}" for what in ("refused", "voided") if run[what])]
    notes += [f"shared noise, {run['honest']} honest"] if "honest" in run else []
    notes += ["INSECURE SEED"] if run["insecure_seed"] else []
    return [
        run["run"],
        run["begun"][:16].replace("T", " "),
        str(run["rounds"]),
        str(run["steps"]),
        f"{run['sample_rate']:.4g}",
        f"{run['noise_multiplier']:.4g}",
        _number(run["epsilon"]),
        ", ".join(notes),
    ]


def _number(epsilon: float | None) -> str:
    return "infinite" if epsilon is None else f"{epsilon:.3f}"


def _finite(epsilon: float) -> float | None:
    return epsilon if epsilon < math.inf else None
