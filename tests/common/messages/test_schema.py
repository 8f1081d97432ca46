"""What the schema allows both ends accept; what it does not allow both refuse, and neither says so in two lines.

A site's end is its gate for what leaves, and its node's look at what comes; the server's end is each of its parsers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.node.gate.outbound import Refused, passed
from client.node.policy import inbound
from client.node.policy.clauses import DataPolicy, OutboundPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.errors import FederationError
from common.flower.packing import pack, unpack
from common.messages import schema
from common.messages.fields import Count, Numbers
from common.messages.masked_forms import MASKABLE
from common.messages.scope import Scope, extra_records, forms_of
from server.records.ledger_reports import site_figures
from server.rounds.screening import fault
from server.rounds.site_scores import ask
from server.rounds.temperature import ask_confidence
from server.run.checkpoint import State
from server.sites import handshake
from server.sites.handshake import Node
from server.sites.pooled_classes import pooled_weights
from server.sites.scaling_sums import gather_sums
from tests.client.node.gated import CLASSES, HEAD, MODEL, PLAIN, PRIVATE, SITE, arrays, config_of, counted
from tests.common.messages import drawn

POLICY = Policy(
    privacy=PrivacyPolicy(report_epsilon=True),
    data=DataPolicy(min_speakers=1),
    outbound=OutboundPolicy(allow_test_speakers=True, allow_class_counts=True),
)
SITE_UNIT = PRIVATE | {"privacy.unit": "site"}
EVERYWHERE = (protocol.HELLO, protocol.TRAIN)
RUNS = [
    *((kind, PLAIN) for kind in (*EVERYWHERE, *schema.NOT_IN_PRIVATE)),
    *((kind, run) for kind in EVERYWHERE for run in (PRIVATE, SITE_UNIT)),
    (protocol.PRIVACY, PRIVATE),
]
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
NODE = Node(
    id=5,
    site=SITE,
    features=drawn.WIDTH,
    examples=40,
    validation=10**7,
    test=10**7,
    speakers=3,
    validation_speakers=1,
)


class OneSite:
    """A grid of one site, which answers what it is given."""

    def __init__(self, content: RecordDict) -> None:
        self._content = content
        self._asked: list[Message] = []

    def push_messages(self, sent: Iterable[Message]) -> Sequence[str]:
        self._asked = list(sent)
        return [str(number) for number, _ in enumerate(self._asked)]

    def pull_messages(self, ids: Sequence[str]) -> list[Message]:
        return [Message(self._content, reply_to=self._asked[int(number)]) for number in ids]


def known(config: Config) -> Scope:
    """What both ends know of the run."""
    _, extra = extra_records(config)
    own = {"site": SITE, "classes": tuple(CLASSES), "class_count": 3, "features": drawn.WIDTH}
    return Scope.of(config, model=forms_of(MODEL), extra=extra, **own)


def site_refuses(kind: str, content: RecordDict, config: Config) -> str | None:
    """Why a reply does not leave."""
    asked = Message(RecordDict({protocol.ARRAYS: arrays(MODEL), protocol.CONFIG: ConfigRecord()}), 5, kind)
    reply = Message(counted(content), reply_to=asked)
    try:
        left = passed(reply, asked, site=SITE, policy=POLICY, config=config, head=HEAD)
    except Refused as refused:
        return str(refused)
    assert server_refuses(kind, left, config) is None
    return None


def server_refuses(kind: str, content: RecordDict, config: Config) -> str | None:
    """Why a reply is not taken; nothing that a site says raises."""
    refused: dict[str, str] = {}
    grid: Any = OneSite(content)
    state = State(arrays=MODEL, scaling={}, run="run")
    if kind in (protocol.EVALUATE, protocol.EVALUATE_TEST):
        ask(grid, config, state, [NODE], kind, MODEL, refused)
    elif kind == protocol.EVALUATE_CONFIDENCE:
        ask_confidence(grid, config, state, [NODE], MODEL, refused)
    elif kind == protocol.STATISTICS:
        try:
            gather_sums(grid, [NODE], 10, refused, least=1)
        except FederationError:
            assert refused
    elif kind == protocol.CLASSES_HELD:
        try:
            pooled_weights(grid, [replace(NODE, examples=examples(content))], CLASSES, 10, refused, least=1)
        except FederationError:
            assert refused
    elif kind == protocol.PRIVACY:
        site_figures(grid, config, [NODE], state, refused, whole=False)
    else:
        return one_message(kind, content, config)
    return refused.get(SITE)


def examples(content: RecordDict) -> int:
    told: Any = content.get(protocol.METRICS, {})
    return int(told[protocol.EXAMPLES]) if isinstance(told.get(protocol.EXAMPLES), int) else 40


def one_message(kind: str, content: RecordDict, config: Config) -> str | None:
    reply = Message(content, reply_to=Message(RecordDict(), 5, kind))
    if kind == protocol.TRAIN:
        return fault(reply, Scope.of(config, model=forms_of(MODEL), extra=extra_records(config)[1]))
    try:
        node, terms = handshake.read(reply, Scope(private=config.privacy.on))
    except FederationError as error:
        return str(error)
    agreed = node.site == SITE and {*terms.classes, *terms.missing} <= set(CLASSES)
    return None if agreed else "the server holds names against the site's key, and classes against the run's"


def node_refuses(kind: str, content: RecordDict, config: Config) -> str | None:
    """Why a request does not reach the app."""
    record: Any = content.config_records.get(protocol.CONFIG, {})
    return POLICY.message_refusal(kind, record) or inbound.fault(kind, content, config)


def one_line(reason: str | None) -> bool:
    return reason is not None and "\n" not in reason and "patient_0042.wav" not in reason[120:] and len(reason) < 500


@pytest.mark.parametrize(("kind", "run"), RUNS)
@FEW
@given(data=st.data())
def test_a_reply_that_the_schema_allows_leaves_and_is_taken(
    kind: str, run: dict[str, Any], data: st.DataObject
) -> None:
    config = config_of(run)
    content = data.draw(drawn.message(schema.reply(kind, known(config), {})))
    assert site_refuses(kind, content, config) is None
    assert server_refuses(kind, content, config) is None


@pytest.mark.parametrize(("kind", "run"), RUNS)
@FEW
@given(data=st.data())
def test_a_reply_that_it_does_not_allow_is_refused_at_both_ends(
    kind: str, run: dict[str, Any], data: st.DataObject
) -> None:
    config = config_of(run)
    content = data.draw(drawn.spoilt(schema.reply(kind, known(config), {})))
    assert one_line(site_refuses(kind, content, config))
    assert one_line(server_refuses(kind, content, config))


@FEW
@given(data=st.data())
def test_the_word_that_a_budget_is_spent_is_a_reply_of_its_own(data: st.DataObject) -> None:
    config = config_of(PRIVATE)
    stopped: Any = {protocol.CONFIG: {protocol.STOPPED: True}}
    form = schema.reply(protocol.TRAIN, known(config), stopped)
    good = data.draw(drawn.message(form))
    assert site_refuses(protocol.TRAIN, good, config) is None
    assert server_refuses(protocol.TRAIN, good, config) is None
    bad = data.draw(drawn.spoilt(form))
    assert one_line(site_refuses(protocol.TRAIN, bad, config))
    assert one_line(server_refuses(protocol.TRAIN, bad, config))
    for end in (site_refuses, server_refuses):
        assert one_line(end(protocol.TRAIN, good, config_of(PLAIN)))


BY_NODE = (protocol.KEYS, protocol.VOTE, protocol.UNMASK)  # whose answers no app and no gate sees
POOLED = {**PLAIN, "training.class_weights": "pooled"}
SECURED = {**POOLED, "federation.secure": True}
RUN_OF = {protocol.PRIVACY: PRIVATE, protocol.CLASSES_HELD: POOLED}
ASKED = [
    *((kind, RUN_OF.get(kind, PLAIN)) for kind in schema.TYPES if kind not in BY_NODE),
    *((kind, SECURED) for kind in (*BY_NODE, *MASKABLE)),
]


def asked(config: Config) -> Scope:
    extra, _ = extra_records(config)
    secure = config.federation.secure
    return Scope(model=forms_of(MODEL), extra=extra, secure=secure, max_rounds=200, mu=(0.0, 10.0))


@pytest.mark.parametrize(("kind", "run"), ASKED)
@FEW
@given(data=st.data())
def test_a_request_that_the_schema_allows_reaches_the_app_and_no_other_does(
    kind: str, run: dict[str, Any], data: st.DataObject
) -> None:
    config = config_of(run)
    form = schema.request(kind, asked(config))
    good = data.draw(drawn.message(form))
    assert node_refuses(kind, good, config) is None
    assert node_refuses(kind, unpack(pack(good)), config) is None
    bad = data.draw(drawn.spoilt(form))
    other = Scope(model=forms_of(bad.array_records.get(protocol.ARRAYS, {})), secure=config.federation.secure)
    if schema.request(kind, other).fault(bad) is None:
        return  # another model: the server's to choose
    assert one_line(node_refuses(kind, bad, config))


BESIDE = {name: Numbers("float32", own.shape) for name, own in forms_of(MODEL).items()}


STEERED = {**PLAIN, "federation.strategy": "scaffold"}  # sends a record of arrays beside the model, and gets one back


@FEW
@given(data=st.data())
def test_what_a_strategy_sends_beside_the_model_is_held_to_the_models_form(data: st.DataObject) -> None:
    config = config_of(STEERED)
    form = schema.reply(protocol.TRAIN, known(config), {})
    assert form.records["control"].fields == BESIDE
    content = data.draw(drawn.message(form))
    assert site_refuses(protocol.TRAIN, content, config) is None
    key, other = data.draw(st.sampled_from(sorted(BESIDE))), content.array_records["control"]
    odd = [value for value in drawn.wrong(BESIDE[key], other[key]) if not isinstance(value, (str, bytes, list))]
    request = data.draw(drawn.message(schema.request(protocol.TRAIN, asked(config))))
    assert node_refuses(protocol.TRAIN, request, config) is None
    for spoilt in (content, request):
        spoilt.array_records["control"][key] = data.draw(st.sampled_from(odd))
    assert "control: " in str(site_refuses(protocol.TRAIN, content, config))
    assert "control: " in str(server_refuses(protocol.TRAIN, content, config))
    assert "control: " in str(node_refuses(protocol.TRAIN, request, config))


def test_what_a_strategy_sends_beside_the_model_leaves_and_must_come() -> None:
    config = config_of(STEERED)
    beside = {name: own.shape for name, own in BESIDE.items()}
    assert set(beside) == set(MODEL)
    form = schema.reply(protocol.TRAIN, known(config), {})
    assert list(form.records) == [protocol.ARRAYS, "control", protocol.METRICS]
    assert "control" not in schema.request(protocol.EVALUATE, asked(config)).records


def test_class_counts_are_asked_for_in_no_run_that_does_not_pool_them() -> None:
    bare = RecordDict({protocol.CONFIG: ConfigRecord()})
    assert node_refuses(protocol.CLASSES_HELD, bare, config_of(POOLED)) is None
    assert "training.class_weights is own" in str(node_refuses(protocol.CLASSES_HELD, bare, config_of(PLAIN)))
    assert "class counts may not leave" in str(node_refuses(protocol.CLASSES_HELD, bare, config_of(PRIVATE)))
    closed = Policy().message_refusal(protocol.CLASSES_HELD, {})
    assert "the policy does not allow (outbound)" in str(closed)


def test_without_such_a_strategy_no_record_goes_beside_the_model() -> None:
    assert extra_records(Config()) == ((), ())


def test_each_type_of_message_is_declared() -> None:
    assert set(schema.TYPES) == {*(kind for kind, _ in RUNS), *BY_NODE} == {kind for kind, _ in ASKED}
    rounds = schema.request(protocol.TRAIN, Scope(max_rounds=7)).records[protocol.CONFIG].fields[protocol.ROUND]
    assert rounds == Count(1, 7)
