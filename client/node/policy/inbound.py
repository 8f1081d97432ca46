"""What a server may ask in a message of a run: its type, and the records that come with it, by the schema.

The server chooses them anew in each message, whatever the run's settings say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from flwr.app import RecordDict

from common import protocol
from common.config.settings import Config
from common.messages import masked_forms, schema
from common.messages.fields import Misfit, short
from common.messages.schema import TYPES
from common.messages.scope import Scope, extra_records, forms_of


def reasons(
    kind: str, config: Mapping[str, Any], *, allowed: Collection[str], max_rounds: int, mu: tuple[float, float]
) -> Iterator[str]:
    """Why a message is refused for its type or its settings, a line each.

    Args:
        kind: Flower's message type.
        config: the message's settings.
        allowed: the types that the policy allows.
        max_rounds: the last round that may be asked for.
        mu: the least and the greatest weight of FedProx's term.
    """
    if kind not in TYPES:
        yield f"the message is of type {short(kind)}, expected one of {', '.join(TYPES)}"
        return
    if kind not in allowed:
        yield f"the server asks for {kind}, which the policy does not allow (outbound)"
    record = schema.request(kind, Scope(max_rounds=max_rounds, mu=mu)).records[protocol.CONFIG]
    try:
        record.values(protocol.CONFIG, config)
    except Misfit as misfit:
        yield f"the message's {misfit}"


def fault(kind: str, content: RecordDict, config: Config) -> str | None:
    """Why a message whose settings the policy allows is refused for its run or its records; None where it is not.

    The model's own form is the server's to choose; what the strategy sends beside it must have the same.

    Args:
        kind: of message.
        content: its records, the arrays not packed.
        config: of the run.
    """
    if config.privacy.on and kind in schema.NOT_IN_PRIVATE:
        return f"the run is private, {schema.NOT_IN_PRIVATE[kind]} may not leave: the server asks for {kind}"
    if kind in masked_forms.ALONE and not config.federation.secure:
        return f"the run adds updates up in plain, no {kind} belongs to it"
    if kind == protocol.CLASSES_HELD and (weighed := config.training.class_weights) != "pooled":
        return f"the server asks for class counts, and the run's training.class_weights is {weighed}"
    extra, _ = extra_records(config)
    model = forms_of(content.array_records.get(protocol.ARRAYS, {}))
    scope = Scope(model=model, extra=extra, secure=config.federation.secure)
    found = schema.request(kind, scope).fault(content)
    return found and f"the message's {found}"
