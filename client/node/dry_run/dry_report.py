"""What a dry run found, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.config.units import UNITS

ONCE, EACH_ROUND = "once", "each round"
_HEX = 64  # digits of a digest, of which the first are shown


@dataclass(frozen=True, kw_only=True)
class DryAnswer:
    """What a dry run answered to one type of message.

    Attributes:
        type: Flower's.
        when: ``once`` a run, or ``each round``.
        refused: why nothing of it would leave; None where it would.
        records: what would leave: by record and key a value, or an array's type and shape.
        behind: likewise, what is in it behind masks, of which the coordinator sees the sum over the sites.
        bytes: of all that leaves, on its way.
    """

    type: str
    when: str
    refused: str | None = None
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    behind: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run would take from a site.

    Attributes:
        site: its name.
        refused: why the policy refuses the run as a whole; None where it does not.
        bytes_allowed: what the policy lets leave each round.
        rounds: of the run.
        refit: whether the validation speakers' recordings train too, once they have chosen the round.
        bytes_round: what would leave each round.
        outcomes: by type of message, in a run's order; none where the run is refused.
        privacy: what a private run costs each unit; None where nothing is private at this site.
        bundle: the SHA-256 of the bundle of the code that answered, which is installed here; None where files of it are
            not.
        bundle_allowed: whether the policy allows just that; else another code would run than the one that answered.
    """

    site: str
    refused: str | None
    bytes_allowed: int
    rounds: int
    refit: bool = False
    bytes_round: int = 0
    outcomes: list[DryAnswer] = field(default_factory=list)
    privacy: dict[str, Any] | None = None
    bundle: str | None = None
    bundle_allowed: bool = False


def render(report: Report) -> RenderableType:
    """What would leave, a line a value, with its bytes and, in a private run, its ε."""
    if report.refused:
        refusal = f"{report.site} refuses such a run, and nothing leaves: {report.refused}"
        return Group(Text(_code(report)), Text(refusal))
    parts: list[RenderableType] = [Text(_code(report)), ""]
    for outcome in report.outcomes:
        parts += [*_outcome(outcome), ""]
    return Group(*parts, *map(Text, _summary(report)))


def _code(report: Report) -> str:
    """Which code it was."""
    if report.bundle is None:
        return "NOT THE ALLOWED CODE, as far as can be known: files of the bundle are not installed here"
    if not report.bundle_allowed:
        return f"NOT THE ALLOWED CODE: what is installed here is the bundle {report.bundle}; see fedser site bundle"
    return f"by the code that is installed here, the bundle {report.bundle}, which the policy allows"


def _outcome(outcome: DryAnswer) -> Iterator[RenderableType]:
    leaves = f"nothing leaves: {outcome.refused}" if outcome.refused else f"{outcome.bytes:,} bytes"
    yield Text.assemble((outcome.type, "bold"), f", {outcome.when}: {leaves}")
    if outcome.records:
        yield _table(outcome.records)
    if outcome.behind:
        yield Text("  behind the masks, of which the coordinator sees the sum over the sites:")
        yield _table(outcome.behind)


def _table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, record in records.items():
        for key, value in record.items():
            table.add_row(Text(f"{name}/{key}", no_wrap=True), Text(_form(value)))
    return table


def _form(value: Any) -> str:
    if isinstance(value, dict) and "characters" in value:
        return f"{value['characters']} characters"
    if isinstance(value, dict):
        return f"{value['length']} counts" if "length" in value else f"{value['dtype']} {value['shape']}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == _HEX else str(value)


def _summary(report: Report) -> Iterator[str]:
    yield f"each round {report.bytes_round:,} bytes of the {report.bytes_allowed:,} that the policy allows"
    if report.refit:
        yield f"{report.rounds} rounds, at most as many again, in which the validation speakers' recordings train too"
    if (told := report.privacy) is None:
        yield "no noise is added at this site: what the model tells of its people has no bound"
    elif told["stopped"]:
        yield "the site's privacy budget refuses the first round already"
    else:
        yield f"ε for each of {told['units']} {UNITS[told['unit']].plural}, at δ = {told['delta']:g}:"
        yield f"  a round {_number(told['epsilon_round'])}, all {report.rounds} rounds {_number(told['epsilon_run'])}"
        each = "" if told["budget_unit"] == told["unit"] else f" for each {UNITS[told['budget_unit']].noun}"
        yield f"  runs before {_number(told['epsilon_before'])}, with this one {_number(told['epsilon_after'])}{each}"
        yield f"  budget {told['budget'] or 'none: nothing bounds what all runs together tell (privacy.budget)'}"


def _number(epsilon: float | None) -> str:
    return "without bound" if epsilon is None else f"{epsilon:.3f}"
