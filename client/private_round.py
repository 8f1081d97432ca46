"""A private round at a site: make everything ready, reserve the steps in the ledger, compute, store the reply, send it.

A reply that was stored is sent again when the server asks for the round again: it is never noised anew, for two noisy
answers tell more than one.

Whether a round fails would tell too, and at no ε. So what can be refused is refused before the steps are reserved, by
the message, the settings and public numbers alone; no unit's content fails a round (``common.data.unit_alone``,
``common.privacy.contributions``). What is left is the machine: a full disk, a kill. A round that these cut short is
voided, twice a run in a deployment; the third one's steps stay spent, and the site is out of the run, for else a server
that can bring a kill about could ask by it as often as it likes. Not promised: how long a round takes.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import safetensors.torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from client.planting import keep, plant
from client.site import Site
from common import protocol
from common.config.units import UNITS
from common.data.dataset import SpeechDataset
from common.data.normalise import Scaling
from common.errors import BudgetSpent, CutShort, FedserError
from common.learning.centring import centring
from common.learning.training import learning_rate
from common.privacy.accounting.accountants import Spend
from common.privacy.accounting.calibration import signal_to_noise
from common.privacy.canaries import Canaries
from common.privacy.centre import centre_privately
from common.privacy.dp_sgd import train_privately
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.budget_unit import budget_unit
from common.privacy.recorded_canaries import RecordedCanaries
from common.privacy.shared.summed_step import centre_sum, gradient_sum, refuse_unfit
from common.privacy.stream import SecretStream
from common.privacy.terms import Terms, agree_terms, as_of_now, check_same, from_json, nothing_spent
from common.seeds import seed_of
from common.storage.hash_chain import Head

log = logging.getLogger("fedser.client")
MOST_VOIDED = 2  # of a run's rounds, that were reserved and then cut short


def train_round(site: Site, arrays: Mapping[str, Tensor], scaling: Scaling | None, message: Message) -> RecordDict:
    """A site's noisy update, or the word that its budget is spent.

    Args:
        site: whose recordings they are.
        arrays: the global model.
        scaling: of public data, or one that does nothing.
        message: the server's.
    """
    asked = message.content.config_records[protocol.CONFIG]
    run, number = str(asked[protocol.RUN]), int(str(asked[protocol.ROUND]))
    ledger = open_ledger(site, asked)
    extra: dict[str, Any] = {}
    try:
        with ledger.round(run, number) as entry:
            reply = entry.reply
            if reply is not None:  # it may be a part of a noise that another run's settings share with nobody
                check_same(run, from_json(ledger.terms(run) or {}), site.config)
            else:
                known = ledger.terms(run) is not None
                held = site.holding
                terms = agree_terms(ledger, run, site.config, site.units, most=held.max_epsilon, named=held.budget_unit)
                if not known and terms.honest is None:
                    _warn_if_drowned(terms, site)
                steps = terms.affordable(ledger.spends(terms.budget_unit))
                spend = terms.spend(steps or terms.steps_per_round)  # no step: let the ledger write the refusal
                ready = _Ready.of(site, arrays, scaling, terms, asked, number)
                entry.reserve(spend, terms.filter)
                made = (_train if terms.honest is None else _sum)(site, ready, terms, spend, number)
                if ready.planted is not None:
                    keep(ready.planted, ledger.path, run, number)
                reply = safetensors.torch.save({name: tensor.contiguous() for name, tensor in made.items()})
                entry.store(reply)
    except BudgetSpent as error:
        log.warning("site %s: round %d: %s", site.name, number, error)
        extra[protocol.STOPPED] = True
        extra |= {protocol.CUT_SHORT: True} if isinstance(error, CutShort) else {}
        reply = None
    if site.holding.deployed and site.holding.report_epsilon and ledger.terms(run):
        figures = _figures(site, ledger, run, stopped=protocol.STOPPED in extra, quick=True)
        extra[protocol.FIGURES] = json.dumps(figures)
    head = ledger.head()
    record = ConfigRecord({protocol.LEDGER_ENTRIES: head.entries, protocol.LEDGER_HASH: head.hash, **extra})
    content = RecordDict({protocol.CONFIG: record})
    if reply is not None:
        weights = safetensors.torch.load(reply)
        content[protocol.ARRAYS] = ArrayRecord({name: Array(tensor.numpy()) for name, tensor in weights.items()})
        content[protocol.METRICS] = MetricRecord({protocol.EXAMPLES: site.units})
    return content


def open_ledger(site: Site, asked: Mapping[str, Any]) -> Ledger:
    """The site's ledger, which must hold all that the site last told the server of it.

    In a deployment it voids so many rounds of a run and no more.

    Raises:
        LedgerError: it was edited, or is older than that.
    """
    entries = int(str(asked.get(protocol.LEDGER_ENTRIES, 0)))
    reported = Head(entries=entries, hash=str(asked[protocol.LEDGER_HASH])) if entries else None
    most = MOST_VOIDED if site.holding.deployed else None  # on one machine it is its user who kills, and goes on
    return Ledger.of_site(site.holding.ledger, site.name, expected=reported, most_voided=most)


def report(site: Site, message: Message) -> RecordDict:
    """What this run, and all runs, cost this site's people; a site whose budget was spent before it spent nothing."""
    asked = message.content.config_records[protocol.CONFIG]
    run = str(asked[protocol.RUN])
    ledger = open_ledger(site, asked)
    if ledger.terms(run) is None:
        unit = budget_unit(ledger.begun(), site.config.privacy.unit, named=site.holding.budget_unit)
        figures = nothing_spent(site.config, site.units, ledger.spends(unit), unit)
    else:
        figures = _figures(site, ledger, run, stopped=ledger.refused(run))
    if not site.holding.report_epsilon:
        figures |= dict.fromkeys(protocol.SPENT)
    return RecordDict({protocol.CONFIG: ConfigRecord({protocol.FIGURES: json.dumps(figures)})})


def _figures(site: Site, ledger: Ledger, run: str, *, stopped: bool, quick: bool = False) -> dict[str, Any]:
    """What a run that has begun, and all runs, cost this site's people."""
    kept = from_json(ledger.terms(run) or {})
    terms = as_of_now(kept, ledger, site.config.privacy, named=site.holding.budget_unit)
    spends = ledger.spends(terms.unit, run), ledger.spends(terms.budget_unit)
    return terms.figures(*spends, stopped=stopped, quick=quick)


def _warn_if_drowned(terms: Terms, site: Site) -> None:
    """Say so where nothing can be learnt: too few units for so much noise."""
    parameters = sum(p.numel() for p in site.model.parameters() if p.requires_grad)
    steps = terms.steps_per_round * terms.rounds
    ratio = signal_to_noise(terms.noise_multiplier, terms.sample_rate, terms.units, parameters) * math.sqrt(steps)
    if ratio < 1:
        log.warning(
            "site %s: the noise drowns the signal: if all %d %s agreed in all %d steps, what they say would be %.2f "
            "times as long as the noise of %d parameters; take more of them, a smaller model, or a larger epsilon",
            *(site.name, terms.units, UNITS[terms.unit].plural, steps, ratio, parameters),
        )


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """All that a round needs, looked at before its steps are reserved.

    Attributes:
        data: the recordings to train on, the planted ones among them.
        planted: the canaries of an audit.
        mu: FedProx's weight.
    """

    data: SpeechDataset
    planted: Canaries | RecordedCanaries | None
    mu: float

    @classmethod
    def of(
        cls,
        site: Site,
        arrays: Mapping[str, Tensor],
        scaling: Scaling | None,
        terms: Terms,
        asked: Mapping[str, Any],
        number: int,
    ) -> Self:
        """Put the server's weights into the site's model, and make the recordings ready.

        Raises:
            FedserError: the server's model or scaling is not of this run, or a canary cannot be planted.
        """
        try:
            site.model.load_state_dict(arrays)
        except RuntimeError:
            raise FedserError(f"site {site.name}: the server sent another model than the run's settings make") from None
        planted = plant(site, terms, scaling, number)
        data = planted.training if isinstance(planted, RecordedCanaries) else site.dataset("train", scaling)
        if terms.honest is not None:
            refuse_unfit(site.model, site.config, terms, number)
        return cls(data=data, planted=planted, mu=float(str(asked.get(protocol.PROXIMAL_MU, 0.0))))


def _stream(site: Site, terms: Terms, number: int) -> SecretStream:
    return SecretStream(seed_of(site.config.seed, number, site.name, "insecure") if terms.insecure_seed else None)


def _sum(site: Site, ready: _Ready, terms: Terms, spend: Spend, number: int) -> Mapping[str, Tensor]:
    """The site's part of a summed step with shared noise, in whole numbers."""
    config, stream = site.config, _stream(site, terms, number)
    if isinstance(ready.planted, RecordedCanaries):
        ready.planted.see_sums(site.model, first=number == 1, last=number == terms.rounds)
    if centring(site.model, number, config):
        return centre_sum(site.model, ready.data, spend, config, stream=stream)
    canaries = ready.planted if isinstance(ready.planted, Canaries) else None
    return gradient_sum(site.model, ready.data, spend, config, stream=stream, canaries=canaries)


def _train(site: Site, ready: _Ready, terms: Terms, spend: Spend, number: int) -> Mapping[str, Tensor]:
    """The weights after the site's own noisy steps."""
    config, stream = site.config, _stream(site, terms, number)
    recorded = ready.planted if isinstance(ready.planted, RecordedCanaries) else None
    planted = recorded.planted if recorded else 0
    if centring(site.model, number, config):
        centre_privately(site.model, ready.data, spend, turn=number, stream=stream, planted=planted)
        return site.model.state_dict()
    before = recorded.losses(site.model) if recorded else None
    train_privately(
        site.model,
        ready.data,
        spend,
        training=config.training,
        augment=config.augment,
        privacy=config.privacy,
        rate=learning_rate(config.training, number, config.federation.rounds),
        stream=stream,
        proximal_mu=ready.mu,
        canaries=ready.planted if isinstance(ready.planted, Canaries) else None,
        planted=planted,
    )
    if recorded is not None and before is not None:
        recorded.see(before, site.model)
    return site.model.state_dict()
