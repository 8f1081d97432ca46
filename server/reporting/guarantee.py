"""What a private run promises, in the words of the report and the model card: unit, adjacency, assumptions, public."""

from __future__ import annotations

from common.config.units import UNITS
from server.records.fold_record import LedgerFigures, PrivacyAccount
from server.reporting.formatting import NONE, natural
from server.reporting.pages import Table


def promise(unit: str) -> dict[str, str]:
    """The guarantee of a unit in words, by heading."""
    own = UNITS[unit]
    words = {
        "Unit": f"one {own.noun}",
        "Neighbours": f"Two worlds that differ in {own.neighbours}. Whoever sees all that left can hardly tell which "
        "it was: the chances of any outcome differ by a factor of at most exp(ε), but for a chance of δ.",
        "Trust": own.trust,
        "Public": f"{own.public} All settings.",
        "Beside the noise": own.left_out,
        "Held-out speakers": "The model is scored on the coordinator's own, who are not protected: what it takes their "
        "recordings for is published without noise. Those that a site holds are asked nothing.",
        "Accountant": "PRV (Gopi, Lee & Wutschitz 2021) for the run, whose noise was fixed before it; over all runs on "
        "the same people a Rényi filter (Feldman & Zrnic 2021), whose ε is some per cent larger.",
        "Not covered": "Noise in floating point is not exactly Gaussian (Mironov 2012); each number is a sum of four, "
        "which makes that hard to use. How long a site computes is not hidden, nor that its process is killed. "
        "Choosing the settings on the same data is not accounted.",
    }
    if own.at_sites:
        words["Several sites"] = "A site's ε assumes that no person is at two sites; otherwise theirs add up."
    return words


def spent(privacy: PrivacyAccount) -> Table:
    """What each site spent."""
    rows = [
        [
            site,
            _number(own.epsilon),
            _number(own.epsilon_rdp),
            _number(own.epsilon_total),
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
    return f"{own.budget:g}" + (", spent" if own.stopped else "")


def _number(value: float | None, form: str = ".3f") -> str:
    return NONE if value is None else format(value, form)
