"""What a private run promises, in the words of the report and the model card: unit, adjacency, assumptions, public."""

from __future__ import annotations

from common.config.units import PUBLIC, UNITS
from server.records.fold_record import LedgerFigures, Origin, PrivacyAccount
from server.reporting.findings import fold_name
from server.reporting.formatting import NONE, natural
from server.reporting.pages import Table
from server.reporting.run_record import Result, RunFold


def promise(unit: str) -> dict[str, str]:
    """The guarantee of a unit in words, by heading."""
    own = UNITS[unit]
    words = {
        "Unit": f"one {own.noun}",
        "Neighbours": f"Two worlds that differ in {own.neighbours}. Whoever sees all that left can hardly tell which "
        "it was: the chances of any outcome differ by a factor of at most exp(ε), but for a chance of δ.",
        "Trust": own.trust,
        "Public": f"{own.public} {PUBLIC}",
        "Beside the noise": own.left_out,
        "Held-out speakers": "The model is scored on the coordinator's own, who are not protected: what it takes their "
        "recordings for is published without noise. Those that a site holds are asked nothing.",
        "Accountant": "PRV (Gopi, Lee & Wutschitz 2021) for a model, and for all models of a run together, whose noise "
        "was fixed before them; over all runs on the same people a Rényi filter (Feldman & Zrnic 2021), whose ε is "
        "some per cent larger.",
        "Not covered": "Noise in floating point is not exactly Gaussian (Mironov 2012); each number is a sum of four, "
        "which makes that hard to use. How long a site computes is not hidden, nor that its process is killed. "
        "Choosing the settings on the same data is not accounted.",
    }
    if own.at_sites:
        words["Several sites"] = "A site's ε assumes that no person is at two sites; otherwise theirs add up."
    return words


def promised(privacy: PrivacyAccount) -> dict[str, str]:
    """The guarantee of a run in words, by heading: of its unit, and of who must be honest where noise is shared."""
    if privacy.honest is None:
        return promise(privacy.unit)
    return promise_shared(privacy.unit, privacy.honest, len(privacy.sites))


def promise_shared(unit: str, honest: int, sites: int) -> dict[str, str]:
    """The guarantee of a unit in words, by heading, where the sites share their noise.

    Args:
        unit: of privacy.
        honest: how many sites' parts make the noise whole.
        sites: how many there are.
    """
    return promise(unit) | {
        "Trust": f"Each site adds a part of the noise, and {honest} parts together make it whole. So ε holds against "
        f"whoever sees the sums of all sites and the models: the coordinator, or any one of the {sites} sites, alone "
        f"or together (a site knows its own part of the noise), as long as {honest} other sites in each sum add their "
        "parts as they should and tell nobody which numbers these were. Of the coordinator nothing is assumed, so long "
        f"as the masks hold. If fewer than {honest} such sites are honest, the noise is less than ε says. Against "
        "someone who sees one site's update without its masks, as that site's own staff may, ε does not hold.",
        "Mechanism": "One summed step a round: each site's clipped gradients are counted on a grid of whole numbers, "
        "and its part of the noise is an exact discrete Gaussian; only the sum of the sites' masked parts is opened. "
        f"The account is that of a continuous Gaussian with the variance of {honest} parts.",
        "Public": f"The number of {UNITS[unit].nouns} at each site, which it tells when it is met, and of all "
        "together, by which sums are divided; the numbers of its speakers and of its held-out speakers and recordings; "
        f"which sites are in each sum. {PUBLIC}",
        "Not covered": "How long a site computes is not hidden, nor that its process is killed. Choosing the settings "
        "on the same data is not accounted. Nobody has reviewed how masks and noise were put together.",
    }


def started(result: Result) -> str:
    """What to know of the model that the run started from, in sentences; nothing where it started from a new one."""
    first = next((fold.started_from for fold in result.folds if fold.started_from), None)
    if first is None:
        return ""
    told = f"Started from the model of another run (SHA-256 {first.sha256}){_claimed(result, first)}."
    return " ".join([told, *(line for fold in result.folds if (line := _heard(fold)))])


def _claimed(result: Result, start: Origin) -> str:
    """What a private run says of it, and what it does not."""
    if not result.privacy:
        return ""
    told = (
        ", taken as public: ε is of this run's own steps. What that model tells of those whose recordings made it is "
        "in no ε, unless its steps stand in the same ledgers, whose ε of all runs then counts them too"
    )
    if start.private:
        return told
    known = set((start.speakers or {}).get(result.corpus.name, ()))
    trained = {name for fold in result.folds if isinstance(fold.train_speakers, tuple) for name in fold.train_speakers}
    both = f", also on {len(known & trained)} of the speakers who train here" if known & trained else ""
    return f"{told}; and it, or a model before it, was trained without privacy{both}"


def _heard(fold: RunFold) -> str:
    """That a fold's score is not held out, or not known to be."""
    start = fold.started_from
    if start is None or start.heard == ():
        return ""
    if start.heard is None:
        return (
            f"{fold_name(fold)}: it is not known whether the score is held out, for those whose recordings made that "
            "model, or those who are tested, are not known by name."
        )
    return (
        f"{fold_name(fold)} is NOT held out: that model was trained on {len(start.heard)} of its test speakers "
        f"({', '.join(start.heard)})."
    )


def spent(privacy: PrivacyAccount) -> Table:
    """What each site spent."""
    rows = [
        [
            site,
            _number(own.epsilon),
            _number(own.epsilon_rdp),
            _number(own.epsilon_total) + ("" if own.budget_unit == privacy.unit else _each(own)),
            _number(own.delta, "g"),
            _number(own.noise_multiplier),
            _number(own.sample_rate, ".3g"),
            _number(own.steps, "d"),
            _budget(own),
        ]
        for site, own in sorted(privacy.sites.items(), key=lambda item: natural(item[0]))
    ]
    spent_in = ["ε of the run (PRV)", "… (RDP)", "ε of all runs (RDP)"]
    head = ["Site", *spent_in, "δ", "Noise multiplier", "Sample rate", "Steps", "Budget"]
    return Table(caption="What was spent, in the fold that spent most", head=head, rows=rows)


def _budget(own: LedgerFigures) -> str:
    if own.epsilon is None:  # a site that keeps what it spent to itself does so with its budget
        return NONE + (", spent" if own.stopped else "")
    if not own.budget:  # what stopped it were rounds that were cut short
        return "none" + (", out of the run" if own.stopped else "")
    return f"{own.budget:g}{_each(own)}" + (", spent" if own.stopped else "")


def _each(own: LedgerFigures) -> str:
    """Whom budget and all runs' ε are for; nothing where the site does not say."""
    return f" per {UNITS[own.budget_unit].noun}" if own.budget_unit in UNITS else ""


def _number(value: float | None, form: str = ".3f") -> str:
    return NONE if value is None else format(value, form)
