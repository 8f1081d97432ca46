"""What a site did in secure sums, over all runs, and what it so may not do again.

Lines of a hash-chained file, on the disk before anything is sent. By kind: ``bound`` (run, round, refit, model,
members, roster, context, least): the site is asked to train a model with a roster; ``masked`` (run, round, sha256):
what it sends is stored; ``chosen`` (run, round, model, sites): whose sum it helps to open; ``ended`` (run).

The rules. A round has one set of terms, and one list of sites to open. A model is trained with one set of sites and
counts, over all runs, and wherever it comes again it is opened for the same list: else the difference of two sums
would be what a site contributed. Within a run a model comes once, but for the initial one, which comes back as the
first of the second pass.

A site whose disk is put back as it was has forgotten; nothing here notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from client.node.gate.answers import Refused
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.storage.hash_chain import Entry

BOUND, MASKED, CHOSEN, ENDED = "bound", "masked", "chosen", "ended"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A round as a site was asked to train in it; all in hexadecimal digits but its name and number.

    Attributes:
        run: its name.
        round: the number.
        refit: whether it is of the second pass.
        model: the fingerprint of the weights.
        members: of the roster, over runs.
        roster: its digest.
        context: of the terms with the roster.
        least: sites that its sum may be opened of.
    """

    run: str
    round: int
    refit: bool
    model: str
    members: str
    roster: str
    context: str
    least: int

    @property
    def key(self) -> tuple[str, int]:
        """Run and round."""
        return self.run, self.round


def binding(terms: RoundTerms, roster: Roster, least: int) -> Bound:
    """A round on these terms with this roster, whose sum is opened of so many sites at least."""
    return Bound(
        run=terms.run,
        round=terms.number,
        refit=terms.refit,
        model=terms.model,
        members=roster.members,
        roster=roster.digest,
        context=terms.context(roster.digest).hex(),
        least=least,
    )


def bound(lines: Iterable[Entry]) -> dict[tuple[str, int], Bound]:
    """The rounds that the site is bound to, in the order in which it was."""
    rows = (line for line in lines if line["kind"] == BOUND)
    found = (Bound(**{name: row[name] for name in Bound.__dataclass_fields__}) for row in rows)
    return {each.key: each for each in found}


def check_binding(lines: Sequence[Entry], asked: Bound) -> bool:
    """Check that a site may train in a round.

    Args:
        lines: of the journal.
        asked: the round.

    Returns:
        Whether it is bound to it already.

    Raises:
        Refused: it may not.
    """
    known = bound(lines)
    check_on(lines, asked.run)
    if asked.key in known:
        if replace(known[asked.key], least=asked.least) != asked:
            raise Refused(
                f"round {asked.round} of run {asked.run} was asked for before with another model, roster or settings"
            )
        return True
    _check_model([each for each in known.values() if each.model == asked.model], list(known.values()), asked)
    return False


def _check_model(earlier: Sequence[Bound], known: Sequence[Bound], asked: Bound) -> None:
    """Refuse a model that was trained before, where the difference could tell of one site."""
    if any(each.members != asked.members for each in earlier):
        raise Refused(
            "this very model was trained with another roster before; the difference would tell of one site; begin from "
            "another model, as by another seed"
        )
    own = [each for each in known if each.run == asked.run and each.round]  # before round 1 nothing was trained
    came = [each for each in own if each.model == asked.model]
    begins_refit = asked.refit and not any(each.refit for each in own)
    if came and not (begins_refit and came == [min(own, key=lambda each: each.round)]):
        raise Refused(f"the model of round {asked.round} was trained in round {came[-1].round} of the same run before")


def is_over(lines: Iterable[Entry], run: str) -> bool:
    """Whether the site was told that a run is over."""
    return any(line["kind"] == ENDED and line["run"] == run for line in lines)


def check_on(lines: Iterable[Entry], run: str) -> None:
    """Check that a run is on.

    Raises:
        Refused: it is over.
    """
    if is_over(lines, run):
        raise Refused(f"run {run} is over at this site, no round of it is added up any more")


def check_choice(lines: Sequence[Entry], asked: Bound, sites: tuple[str, ...]) -> bool:
    """Check that a site may help to open a round's sum of some sites.

    Args:
        lines: of the journal.
        asked: the round, to which it is bound.
        sites: in the order of their names.

    Returns:
        Whether it chose them before.

    Raises:
        Refused: it may not.
    """
    for line in _chosen(lines):
        if (line["run"], line["round"]) == asked.key and tuple(line["sites"]) != sites:
            raise Refused(
                f"round {asked.round} of run {asked.run} is opened for other sites: {', '.join(line['sites'])}"
            )
        if line["model"] == asked.model and tuple(line["sites"]) != sites:
            before = ", ".join(line["sites"])
            raise Refused(
                f"this very model was opened for {before} before; the difference would tell of one site; begin from "
                "another model"
            )
    return any((line["run"], line["round"]) == asked.key for line in _chosen(lines))


def stored(lines: Iterable[Entry], key: tuple[str, int]) -> str | None:
    """SHA-256 of what the site sends in a round; None where that is not stored yet."""
    found = (line["sha256"] for line in lines if line["kind"] == MASKED and (line["run"], line["round"]) == key)
    return next(found, None)


def last_rounds(lines: Sequence[Entry], rounds: int, runs: int) -> set[tuple[str, int]]:
    """The last rounds of the last runs that are on."""
    by_run: dict[str, list[tuple[str, int]]] = {}
    over = {line["run"] for line in lines if line["kind"] == ENDED}
    for run, number in bound(lines):
        if run not in over:
            by_run[run] = [*by_run.pop(run, []), (run, number)]  # the run that was asked last is last
    return {key for keys in list(by_run.values())[-runs:] for key in keys[-rounds:]}


def fields(asked: Bound) -> dict[str, object]:
    """What a line says of a round."""
    return asdict(asked)


def _chosen(lines: Iterable[Entry]) -> Iterator[Entry]:
    return (line for line in lines if line["kind"] == CHOSEN)
