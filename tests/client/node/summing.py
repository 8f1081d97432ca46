"""Guarded nodes in a run whose sums are behind masks, with the coordinator and the apps played by the test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.fab import Fab

from client.node.flower import guard as module
from client.node.policy.aggregation import AggregationPolicy
from client.node.policy.clauses import BundlePolicy, DataPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.run_config import parse_run_config
from common.config.settings import Config, flatten
from common.flower import sum_messages
from common.messages import schema
from common.messages.forms import Told
from common.messages.scope import Scope
from common.secure import pinned_keys
from common.secure.fixed_point import Vector
from common.secure.roster import Roster, RosterEntry
from common.secure.sum_opening import MaskedUpdate, Opening, Unmasking
from common.secure.tallies import layout_of_update
from server.secure.masked_sum import MaskedSum
from tests.client.node.bundles import Server, bundle, run_of
from tests.client.node.gated import ABOUT, CLASSES, SCORES, Arrays, arrays, counted
from tests.client.node.guarded import LOG, Site, grown
from tests.client.node.secure.adding import public

RUN = "run-a"
SETTINGS = {"federation.secure": True, "data.classes": ",".join(CLASSES)}
MODEL: Arrays = {"classifier.bias": np.zeros(3, np.float32), "classifier.weight": np.zeros((3, 2), np.float32)}
COUNTS = {"examples": 40, "validation": 12}
ENTRIES = sum(values.size for values in MODEL.values())
LAYOUT = layout_of_update(ENTRIES, len(CLASSES), refit=False)
CONFIG = parse_run_config({**flatten(Config()), **SETTINGS})
# Of each clause on sums what it becomes, so that a round is refused that was allowed: see ``test_secure_guard``.
TIGHTENED: dict[str, Any] = {
    "aggregation.secure": "never",
    "aggregation.peers": "",
    "aggregation.least_sites": 5,
    "aggregation.largest_share": 0.4,
    "aggregation.max_update": 0.1,
    "aggregation.max_norm": 0.1,
    "privacy.allow_shared_noise": False,
    "privacy.honest": 2,
    "privacy.colluding": 2,
}


def fab_of(folder: Path, **settings: Any) -> Fab:
    """A bundle whose run adds updates up behind masks."""
    lines = {**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}}
    content = bundle(folder, settings="\n".join(f"{name} = {json.dumps(value)}" for name, value in lines.items()))
    return Fab(hashlib.sha256(content).hexdigest(), content, {})


def policy_of(folder: Path, fab: Fab, names: Iterable[str], **clauses: Any) -> Policy:
    """A policy that pins the keys of some sites, in a file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "roster.toml").write_text(pinned_keys.text_of({name: public(name) for name in names}))
    aggregation = AggregationPolicy(**{"secure": "required", "peers": str(folder / "roster.toml"), **clauses})
    allowed, data = BundlePolicy(hashes=(fab.hash_str,)), DataPolicy(classes=tuple(CLASSES))
    privacy = PrivacyPolicy(allow_shared_noise=True, honest=3)
    return Policy(bundle=allowed, data=data, privacy=privacy, aggregation=aggregation)


def sites_of(folder: Path, fab: Fab, count: int, pinned: int | None = None, **clauses: Any) -> dict[str, Site]:
    """Guarded nodes, each with a server of its own; the first ``pinned`` are in every policy."""
    names = [f"site-{place:02}" for place in range(count)]
    found = {}
    for name in names:
        server = Server({1: run_of(1, fab), 2: run_of(2, fab)}, {1: [fab], 2: [fab]})
        policy = policy_of(folder / name, fab, names[:pinned], **clauses)
        found[name] = Site(folder / name, server, policy, name=name)
    return found


def ask(site: Site, kind: str, content: RecordDict, run: int = 1, group: str = "1") -> Message | None:
    """Send a message; what reached the app, None where none was started."""
    site.server.ask(kind, content, run, group)
    return site.take()


def hear(site: Site) -> RecordDict:
    """What the node answered last, which is no error."""
    reply = site.server.reply()
    assert not reply.has_error(), reply.error.reason
    content: RecordDict = reply.content
    return content


def read(site: Site) -> Told:
    """The same as the coordinator reads it."""
    kind = site.server.reply().metadata.message_type
    return schema.read_reply(kind, Scope.of(CONFIG, words=LAYOUT.size), hear(site))


def meet(site: Site, run: int = 1, examples: int = COUNTS["examples"]) -> None:
    """The run's first message, which says how much there is."""
    message = ask(site, protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}), run)
    assert message is not None
    about = ABOUT | {protocol.SITE: site.name, protocol.EXAMPLES: examples, protocol.MISSING: []}
    told = RecordDict({protocol.CONFIG: ConfigRecord(about | {protocol.VALIDATION_EXAMPLES: COUNTS["validation"]})})
    site.answer(Message(counted(told), reply_to=message))
    hear(site)


def key(site: Site, run: int = 1, name: str = RUN) -> RosterEntry:
    """What a site says of itself; no app is started."""
    content = RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: name})})
    assert ask(site, protocol.KEYS, content, run) is None
    return sum_messages.read_entry(read(site))


def begin(sites: Mapping[str, Site], run: int = 1, name: str = RUN) -> Roster:
    """What comes before the first round of an honest run."""
    for site in sites.values():
        meet(site, run)
    return Roster.of(key(site, run, name) for site in sites.values())


def moved_by(value: float, model: Arrays = MODEL) -> Arrays:
    """A model with each weight moved by so much."""
    return {name: values + np.float32(value) for name, values in model.items()}


def train(
    roster: Roster, number: int = 1, model: Arrays = MODEL, name: str = RUN, told: Mapping[str, Any] | None = None
) -> RecordDict:
    """A message to train."""
    own = LOG | {protocol.SERVER_ENTRIES: grown()} | dict(told or {})
    config = ConfigRecord({protocol.ROUND: number} | own)
    sums = {protocol.SECURE: sum_messages.asked(name, number, roster)}
    return RecordDict({protocol.ARRAYS: arrays(model), protocol.CONFIG: config, **sums})


def update(model: Arrays = MODEL, by: float = 0.5, examples: int = COUNTS["examples"]) -> RecordDict:
    """What an honest app answers to it."""
    seen = {protocol.CONFUSION: SCORES[protocol.CONFUSION], protocol.VALIDATION_EXAMPLES: SCORES[protocol.EXAMPLES]}
    figures: Any = {protocol.EXAMPLES: examples, protocol.LOSS: 1.5, protocol.SECONDS: 2.0, **seen}
    metrics = MetricRecord(figures | {protocol.VALIDATION_LOSS: SCORES[protocol.LOSS]})
    return counted(RecordDict({protocol.ARRAYS: arrays(moved_by(by, model)), protocol.METRICS: metrics}))


def trained(site: Site, asked: RecordDict, by: float = 0.5, run: int = 1, model: Arrays = MODEL) -> MaskedUpdate:
    """A round of one site, up to its masked words."""
    message = ask(site, protocol.TRAIN, asked, run)
    assert message is not None, site.lines("refused")[-1]["why"]
    site.answer(Message(update(model, by), reply_to=message))
    return sum_messages.read_masked(site.name, read(site))


def gathered(fab: Fab, asked: RecordDict, roster: Roster, came: Iterable[MaskedUpdate], number: int = 1) -> MaskedSum:
    """What an honest coordinator makes of the words."""
    terms = sum_messages.terms_of(
        protocol.TRAIN, asked, bundle=fab.hash_str, settings=flatten(CONFIG), rounds=CONFIG.federation.rounds
    )
    found = MaskedSum(roster, RUN, number, terms.context(roster.digest))
    for words in came:
        found.add(words)
    return found


def vote(site: Site, opening: Opening, run: int = 1) -> str:
    assert ask(site, protocol.VOTE, sum_messages.opening_request(opening), run) is None
    return str(read(site)[protocol.CONFIG][protocol.SIGNATURE])


def unmask(site: Site, opening: Opening, run: int = 1) -> Unmasking:
    assert ask(site, protocol.UNMASK, sum_messages.unmask_request(opening), run) is None
    return sum_messages.read_unmasking(read(site))


def opened(found: MaskedSum, sites: Mapping[str, Site]) -> Vector:
    """The mean update, opened with the help of some sites."""
    votes = None
    if found.needs_votes:
        votes = {name: vote(site, found.openings()[name]) for name, site in sites.items()}
    openings = found.openings(votes)
    told = {name: unmask(site, openings[name]) for name, site in sites.items()}
    mean, _ = found.read(found.open(told), LAYOUT, refit=False)
    return mean


def refused(site: Site, kind: str, content: RecordDict, run: int = 1) -> str:
    """Send a message that the node must refuse, before any app: why, in one line of its log and its audit log."""
    before = len(site.lines("refused"))
    assert ask(site, kind, content, run) is None
    reply = site.server.reply()
    assert reply.has_error()
    assert str(reply.error.reason).startswith((module.REFUSED, module.FAILED))
    lines = site.lines("refused")
    assert len(lines) == before + 1
    why = str(lines[-1]["why"])
    assert "\n" not in why
    return why
