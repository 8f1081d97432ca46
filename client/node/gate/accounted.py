"""Whether the site's ledger accounts for a private update, looked at by the node before the update leaves.

The app's own code reserves, adds noise and stores; this is the node's, outside the bundle. What leaves must be, byte
for byte, what the ledger says that this round of this run released, and all steps that count must keep the site's
budget.

Against whom: an app that fails to keep its own order (a reply that was computed anew, altered after it was stored, or
taken from another round), and a budget that was lowered meanwhile. The trainer writes the ledger, so code that lies
there as well passes: that it does not is what the bundle's hash is for.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import safetensors.numpy
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from client.node.gate.answers import Refused
from common import protocol
from common.config.settings import PrivacyConfig
from common.messages.npy import values_of

if TYPE_CHECKING:  # it takes a second and 300 MB to import, which sites in private runs alone pay
    from common.privacy.ledger.account import Ledger


def check_accounted(
    content: RecordDict, asked: RecordDict, ledger: Ledger, *, budget: float, privacy: PrivacyConfig
) -> None:
    """Refuse an update that the ledger does not account for; a reply without arrays passes.

    Args:
        content: of the reply, as it leaves, the arrays not packed.
        asked: of the message, in a run that adds its noise at the sites; its arrays are not looked at.
        ledger: the site's, as it is now.
        budget: of the site's policy.
        privacy: of the run.

    Raises:
        Refused: the ledger has no such release in this round, or the steps that count pass the budget.
        LedgerError: the ledger was changed.
    """
    records = content.array_records
    if not records:
        return
    if list(records) != [protocol.ARRAYS]:
        raise Refused(f"a private update has the arrays {', '.join(sorted(records))}, expected {protocol.ARRAYS} alone")
    run, number = _round(asked)
    stored, found = ledger.stored(run, number), released_hash(records[protocol.ARRAYS])
    if stored is None:
        raise Refused(f"the ledger has stored no reply in round {number} of run {run}; what it has not may not leave")
    if stored != found:
        raise Refused(f"the update is not the reply that the ledger stored in round {number} of run {run}")
    kept, honest = (ledger.terms(run) or {}).get("honest"), privacy.honest if privacy.shared else None
    if kept != honest:  # else a part of a shared noise, which alone hides nobody, could leave in a run without masks
        raise Refused(
            f"run {run} began with noise for {kept or 'each site by itself'}, and is asked to go on with noise for "
            f"{honest or 'each site by itself'}"
        )
    _check_budget(ledger, budget, privacy)


def released_hash(arrays: ArrayRecord) -> str:
    """SHA-256 of arrays, as the ledger has it of what a round releases: over their safetensors, which order them."""
    values = {name: values_of(array) for name, array in arrays.items()}  # in C order; a number stays one
    return hashlib.sha256(safetensors.numpy.save(values)).hexdigest()


def _round(asked: RecordDict) -> tuple[str, int]:
    settings = asked.config_records.get(protocol.CONFIG, ConfigRecord())
    return str(settings.get(protocol.RUN, "")), int(str(settings.get(protocol.ROUND, 0)))


def _check_budget(ledger: Ledger, budget: float, privacy: PrivacyConfig) -> None:
    from common.privacy.accounting.accountants import epsilon_rdp
    from common.privacy.ledger.budget_unit import budget_unit

    unit = budget_unit(ledger.begun(), privacy.unit)
    epsilon = epsilon_rdp(ledger.spends(unit), privacy.delta)
    if epsilon > budget:
        raise Refused(
            f"with this update all runs come to ε = {epsilon:.3f} for each {unit}; the policy allows "
            f"{budget:g} (privacy.budget)"
        )
