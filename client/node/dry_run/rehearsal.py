"""What would leave a site in a run, before it agrees to anything: the app's own answers, through the real gate.

The app runs in this process on the site's recordings, a message of each type. All it writes goes to a folder that is
deleted afterwards, its ledger is a copy, and nothing is sent.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from client.app import app
from client.node.audit.site_log import AuditLog
from client.node.audit.spend import Spent
from client.node.dry_run.dry_report import EACH_ROUND, ONCE, DryAnswer, Report
from client.node.dry_run.made_up_sums import MadeUpSums
from client.node.flower import wire
from client.node.flower.supernode import node_config, of_policy
from client.node.gate import outbound
from client.node.gate.accounted import check_accounted
from client.node.gate.outbound import Refused, RoundBytes
from client.node.policy import inbound
from client.node.policy.document import Policy
from client.node.site.code_check import installed_code
from client.node.site.kit import Kit
from client.node.site.node_settings import NodeSettings, StateFolder
from client.private_round import open_ledger
from client.site import Site, open_site
from common import protocol
from common.config.settings import Config, flatten
from common.curation.selection import list_corpus
from common.errors import FedserError
from common.flower import internals
from common.messages import masked_forms, schema
from common.messages.scope import Scope, extra_records, forms_of
from common.privacy.recipe import private_settings
from common.storage.hash_chain import Head
from common.strategies.available import CATALOGUE

RUN, NODE, NAME = 1, 1, "dry-run"
_UNSCALED = {"mean": 0.0, "deviation": 1.0}
_SHOWN = 20  # of a list; of a longer one its length
_LONG = 300  # characters; likewise


def dry_run(settings: NodeSettings, site_kit: Kit, given: Mapping[str, Any]) -> Report:
    """Answer a run's messages without sending anything.

    Args:
        settings: of the node: where the recordings, the kit and the state are.
        site_kit: what the coordinator gave the site.
        given: the run's settings, by flat name; what is missing is as by default, and the classes are those that the
            policy allows.

    Raises:
        FedserError: there is no such corpus, a setting is wrong, or the app failed, with its own reason.
    """
    policy = Policy.read(site_kit.policy).of_corpus(settings.corpus or site_kit.corpus)
    with tempfile.TemporaryDirectory() as folder:
        state = StateFolder(folder=Path(folder))
        if settings.state.ledger.is_dir():
            shutil.copytree(settings.state.ledger, state.ledger)
        node = node_config(dataclasses.replace(settings, state=state), site_kit) | of_policy(policy, settings.data)
        config = _config(node, policy, given)
        digest, allowed = installed_code(policy)
        report = Report(
            site=site_kit.name,
            refused=_refusal(policy, config) or _uncounted(settings.state, site_kit.name, policy, config),
            bytes_allowed=policy.outbound.max_bytes_round,
            rounds=config.federation.rounds,
            bundle=digest,
            bundle_allowed=allowed,
        )
        if report.refused:
            return report
        dry = _Dry(policy, config, node, AuditLog(settings.state.audit).head(), state.sums)
        outcomes = list(dry.outcomes())
        each_round = sum(outcome.bytes for outcome in outcomes if outcome.when == EACH_ROUND)
        refit = config.refits and any(outcome.type == protocol.EVALUATE for outcome in outcomes)
        return dataclasses.replace(report, outcomes=outcomes, bytes_round=each_round, refit=refit, privacy=dry.cost())


def _config(node: Mapping[str, Any], policy: Policy, given: Mapping[str, Any]) -> Config:
    """The run's settings, as a coordinator would send them: a private one's by the recipe, and its classes named.

    Where they are not given they are those that the policy allows; a manifest's policy must name them, and where it
    doesn't, those that the recordings have are refused with that line.
    """
    style = {"data.style": policy.data.style} if policy.data.style else {}
    config = Config().with_values(private_settings({**style, **given}))
    if config.data.classes:
        return config
    if policy.data.classes:
        return config.with_values({"data.classes": list(policy.data.classes)})
    own = {"corpus": protocol.NODE_CORPUS, "root": protocol.NODE_ROOT, "label_map": protocol.NODE_LABEL_MAP}
    data = dataclasses.replace(config.data, outside_root=True, **{name: node[key] for name, key in own.items()})
    return config.with_values({"data.classes": list(list_corpus(data).classes)})


def _refusal(policy: Policy, config: Config) -> str | None:
    """Why the policy refuses such a run at any hour, whatever bundle it allows; which code that is, is told beside."""
    if not policy.bundle.hashes:
        return "the policy allows no bundle (bundle.hashes)"
    return policy.refusal(policy.bundle.hashes[0], config)


def _uncounted(state: StateFolder, site: str, policy: Policy, config: Config) -> str | None:
    """Why the site's ledger could not count such a run in its budget; None where it could."""
    try:
        Spent(state.ledger, site, AuditLog(state.audit)).note(config.privacy, policy.privacy)
    except Refused as reason:
        return str(reason)
    return None


class _Dry:
    """One run at one site, in this process."""

    def __init__(self, policy: Policy, config: Config, node: Mapping[str, Any], head: Head, kept: Path) -> None:
        internals.let_messages_be_made(RUN)
        self._policy, self._config, self._head = policy, config, head
        self._settings = {**flatten(config), **dict.fromkeys(protocol.RUN_KEYS, "")}
        self._node, self._sent = dict(node), RoundBytes()
        self._sums = self._made_up(kept) if config.federation.secure else None

    def _made_up(self, kept: Path) -> MadeUpSums:
        """Sums behind masks with peers that are made up."""
        examples, validation, _ = self.site().counts()
        name = str(self._node[protocol.NODE_SITE])
        return MadeUpSums(kept, name, self._policy, self._config, NAME, (examples, validation))

    def site(self) -> Site:
        """The site as the app sees it."""
        return open_site(self._settings, self._node)

    @property
    def _pools(self) -> bool:
        return self._config.training.class_weights == "pooled"

    def outcomes(self) -> Iterator[DryAnswer]:
        """The answers, in a run's order; a type that such a run does not ask for is left out."""
        site, private = self.site(), self._config.privacy.on
        _, validation, test = site.counts()
        yield self._outcome(protocol.HELLO, ONCE)
        if not private and self._config.data.normalise != "public":
            yield self._outcome(protocol.STATISTICS, ONCE)
        if self._pools:
            yield self._outcome(protocol.CLASSES_HELD, ONCE)
        yield self._outcome(protocol.TRAIN, EACH_ROUND)
        if validation and not private:
            yield self._outcome(protocol.EVALUATE, ONCE if self._sums else EACH_ROUND)  # it rides with the updates
            yield self._outcome(protocol.EVALUATE_CONFIDENCE, ONCE)
        if test and not private:
            yield self._outcome(protocol.EVALUATE_TEST, ONCE)
        if self._config.privacy.at_sites:
            yield self._outcome(protocol.PRIVACY, ONCE)

    def _outcome(self, kind: str, when: str) -> DryAnswer:
        asked = Message(self._content(kind), NODE, kind)
        settings = asked.content.config_records[protocol.CONFIG]
        if refused := self._policy.message_refusal(kind, settings) or inbound.fault(kind, asked.content, self._config):
            return DryAnswer(type=kind, when=when, refused=refused)
        try:
            left = passed = self._answer(asked)
            if self._sums is not None and protocol.SECURE in asked.content:
                left = self._sums.masked(kind, asked.content, passed)
            size = wire.pack_parcel(Message(left, reply_to=asked)).size
            self._sent.add(RUN, "1" if when == EACH_ROUND else kind, size, self._policy)
        except Refused as reason:
            return DryAnswer(type=kind, when=when, refused=str(reason))
        behind = {} if left is passed else _told(passed)
        return DryAnswer(type=kind, when=when, records=_told(left), behind=behind, bytes=size)

    def _answer(self, asked: Message) -> RecordDict:
        with _Heard() as heard:
            reply = app(asked, Context(RUN, NODE, self._node, RecordDict(), self._settings))
        if reply.has_error():
            raise FedserError(f"the app fails on {asked.metadata.message_type}: {heard.text}")
        site, privacy = str(self._node[protocol.NODE_SITE]), self._config.privacy
        left = outbound.passed(reply, asked, site=site, policy=self._policy, config=self._config, head=self._head)
        if privacy.at_sites and asked.metadata.message_type == protocol.TRAIN:
            budget = self._policy.privacy.budget
            check_accounted(left, asked.content, open_ledger(self.site(), {}), budget=budget, privacy=privacy)
        return left

    def _content(self, kind: str) -> RecordDict:
        """What a server sends with a message of a type."""
        site, federation = self.site(), self._config.federation
        model = {name: tensor.cpu().numpy() for name, tensor in site.model.state_dict().items()}
        extra, _ = extra_records(self._config)
        form = schema.request(kind, Scope(model=forms_of(model), extra=extra))
        arrays = {name: {key: np.zeros(array.shape, np.float32) for key, array in model.items()} for name in extra}
        arrays[protocol.SCALING] = {name: np.full(site.features, n, np.float32) for name, n in _UNSCALED.items()}
        arrays[protocol.ARRAYS] = model
        if self._pools:
            arrays[protocol.CLASS_WEIGHTS] = {protocol.WEIGHTS: np.ones(len(site.classes), np.float32)}
        settings: dict[str, Any] = {protocol.ROUND: 1}
        declared = CATALOGUE[federation.strategy]
        settings |= {protocol.RUN: NAME} if self._config.privacy.at_sites or declared.keeps else {}
        settings |= {protocol.TAKEN: 0} if declared.keeps else {}
        settings |= declared.settings(federation)
        if kind == protocol.HELLO:  # the first, not the farewell
            settings = {}
        config = {key: value for key, value in settings.items() if key in form.records[protocol.CONFIG].keys}
        content: dict[str, Any] = {
            name: ArrayRecord({key: Array(values[key]) for key in sorted(values)})
            for name, values in arrays.items()
            if name in form.records
        }
        if self._sums is not None and kind in masked_forms.MASKABLE:
            content[protocol.SECURE] = self._sums.about(kind)
        return RecordDict({**content, protocol.CONFIG: ConfigRecord(config)})

    def cost(self) -> dict[str, Any] | None:
        """What the run costs each unit here, by the copy of the ledger; None where nothing is private at this site."""
        if not self._config.privacy.at_sites:
            return None
        from client.node.dry_run.cost import cost

        return cost(open_ledger(self.site(), {}), self._config.privacy, NAME)


class _Heard(logging.Handler):
    """What the app logs of a failure, which no reply tells."""

    def __init__(self) -> None:
        super().__init__()
        self.text = "it does not say why"

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error; print the rest as ever."""
        if record.levelno < logging.ERROR:
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        error = record.exc_info[1] if record.exc_info else None
        self.text = f"{type(error).__name__}: {error}" if error else record.getMessage()

    def __enter__(self) -> Self:
        logging.getLogger("fedser.client").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("fedser.client").removeHandler(self)


def _told(left: RecordDict) -> dict[str, dict[str, Any]]:
    """All values of a reply, as they are shown."""
    return {name: {key: _shown(value) for key, value in record.items()} for name, record in left.items()}


def _shown(value: Any) -> Any:
    """A value as it would leave; of an array its type and shape, of a long list or text its length."""
    if isinstance(value, Array):
        return {"dtype": value.dtype, "shape": list(value.shape)}
    if isinstance(value, str) and len(value) > _LONG:
        return {"characters": len(value)}
    return {"length": len(value)} if isinstance(value, list) and len(value) > _SHOWN else value
