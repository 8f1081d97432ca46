"""The canaries of ``simulate --canaries``: put in at a site, their scores kept beside its ledger for the audit.

They are for audits of simulations: the file tells which of them were drawn into the run, which no site should publish.
"""

from __future__ import annotations

import json
from pathlib import Path

from client.site import Site
from common.data.normalise import Scaling
from common.learning.centring import centring
from common.privacy.canaries import Canaries, Claim, coins, directions
from common.privacy.recorded_canaries import RecordedCanaries
from common.privacy.terms import Terms
from common.seeds import seed_of
from common.storage import atomic


def plant(site: Site, terms: Terms, scaling: Scaling | None, number: int) -> Canaries | RecordedCanaries | None:
    """This site's canaries for one round; None where the run has none.

    Crafted gradients are of the whole model's shape, so rounds that only find its centre have none; recordings under
    wrong labels are in every round, for they are the data's.
    """
    count, own = site.config.privacy.canaries, seed_of(site.config.seed, site.name)
    if not count:
        return None
    included = coins(count, own)
    if site.config.privacy.canary_kind == "recordings":
        return RecordedCanaries(data=site.dataset("train", scaling), included=included, seed=own)
    parameters = sum(p.numel() for p in site.model.parameters() if p.requires_grad)
    coordinates = directions(count, parameters, own)  # refused in round 1, if it is to be
    if centring(site.model, number, site.config):
        return None
    claim = Claim(
        sample_rate=terms.sample_rate, noise_multiplier=terms.noise_multiplier, max_grad_norm=terms.max_grad_norm
    )
    return Canaries(
        coordinates=coordinates,
        included=included,
        parameters=parameters,
        claim=claim,
    )


def keep(canaries: Canaries | RecordedCanaries, ledger: Path, run: str, round_number: int) -> None:
    """Note a round's scores; a round that is computed anew after a crash replaces the one that released nothing.

    Another run on the same ledger begins anew: an audit is of one run.
    """
    path = ledger.with_suffix(".canaries.json")
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.get("run") != run:
        kept = {"run": run, "rounds": {}}
    kept["included"] = canaries.included.tolist()
    kept["rounds"][str(round_number)] = canaries.scores.tolist()
    atomic.write(path, json.dumps(kept))
