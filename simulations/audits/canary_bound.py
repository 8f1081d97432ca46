"""``fedser audit canaries``: a lower bound on ε from the canaries of one run, against what its ledgers claim.

See ``common.privacy.canaries`` and ``common.privacy.recorded_canaries`` for the threat models, and
``simulations.audits.attacks.one_run`` for the bound. The
sites' canaries are one audit: a unit is at one site, so the federation's ε is the largest of the sites'.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.config.settings import PrivacyConfig
from common.errors import UsageError
from simulations.audits.attacks.one_run import Bound, epsilon_lower_bound
from simulations.audits.audited_run import AuditedRun
from simulations.audits.outcome import AttackFigure, Outcome
from simulations.engine.fold import finished

SUFFIX = ".canaries.json"
KINDS = {
    "gradients": "The canaries are crafted gradients, seen in every step that trains the whole model; no attack sees "
    "more.",
    "summed": "The canaries are crafted gradients, seen in the sum of every step that trains the whole model, as by an "
    "onlooker who knows all of it but one site's units and the noise of as many sites as are taken for honest; no "
    "attack sees more.",
    "recordings": "The canaries are recordings under wrong labels, seen through the models that left the sites; "
    "crafted gradients (--canary-kind gradients) show more.",
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The canaries of all sites, ``(canaries,)``: their scores, summed over rounds, and their coins."""

    scores: npt.NDArray[np.float64]
    included: npt.NDArray[np.bool_]
    sites: int


def audit(run: AuditedRun) -> Outcome:
    """Read what the run's sites kept of their canaries; nothing is trained.

    Raises:
        UsageError: the run has no canaries, or is not finished.
    """
    planted = read(_files(run))
    claim = run.privacy
    if claim is None or not finished(run.folder):
        raise UsageError(
            f"fold {run.plan.fold} is not finished, and claims no ε yet; go on with fedser simulate --resume {run.path}"
        )
    bound = epsilon_lower_bound(planted.scores, planted.included, claim["delta"])
    most = epsilon_lower_bound(planted.included, planted.included, claim["delta"])
    claimed = claim["epsilon"]
    refuted = claimed is not None and bound.epsilon > claimed
    details = {
        "bound": dataclasses.asdict(bound),
        "claimed_epsilon": claimed,
        "largest_bound": most.epsilon,
        "sites": planted.sites,
        "kind": run.config.privacy.canary_kind,
        "refuted": refuted,
    }
    return Outcome(
        attack="canaries",
        run=run,
        details=details,
        figures=[AttackFigure(name="ε at least", value=bound.epsilon, ci95=(bound.epsilon, float("inf")), nothing="0")],
        meaning=[*_meaning(bound, claimed, most.epsilon), KINDS[_seen(run.config.privacy)]],
        refuted=_refutation(bound, claimed) if refuted else None,
    )


def read(files: list[Path]) -> Planted:
    """The sites' canaries, end to end.

    Raises:
        UsageError: a file is none of theirs.
    """
    scores, included = [], []
    for file in files:
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            scores.append(np.sum([np.asarray(own, dtype=np.float64) for own in kept["rounds"].values()], axis=0))
            included.append(np.asarray(kept["included"], dtype=bool))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{file} holds no canaries' scores; run the simulation anew") from None
    return Planted(scores=np.concatenate(scores), included=np.concatenate(included), sites=len(files))


def _seen(privacy: PrivacyConfig) -> str:
    return "summed" if privacy.shared and privacy.canary_kind == "gradients" else privacy.canary_kind


def _files(run: AuditedRun) -> list[Path]:
    privacy = run.config.privacy
    if privacy.at_server:
        raise UsageError(
            "audit canaries: with --privacy-unit site the server adds the noise, and its mechanism takes no canaries"
        )
    if run.shared_ledger:
        raise UsageError(
            f"the folds of {run.path} share the ledger {run.ledger}, which keeps the canaries of the last alone; audit "
            "a run of one fold, or one without --ledger"
        )
    files = sorted(run.ledger.rglob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(
            f"{run.path} has no canaries; put some into a new run with fedser simulate --epsilon 2 --canaries 200"
        )
    return files


def _meaning(bound: Bound, claimed: float | None, most: float) -> list[str]:
    share = f"{bound.correct} of {bound.guesses} guesses at {bound.canaries} canaries were right."
    if bound.epsilon == 0:
        first = f"{share} That is no more than chance: nothing is shown against any ε."
    else:
        first = f"{share} At 95 % confidence the run is not private for any ε below {bound.epsilon:.2f}."
    if claimed is not None and bound.epsilon <= claimed:
        first += f" The ledgers claim {claimed:.2f}, which this does not contradict."
    return [first, f"Had all guesses been right, the bound would have been {most:.2f}: more canaries show more."]


def _refutation(bound: Bound, claimed: float | None) -> str:
    return (
        f"the audit refutes the claim: the ledgers say ε = {claimed:.3g}, the canaries show at least "
        f"{bound.epsilon:.3g}; the noise or the clipping does not work"
    )
