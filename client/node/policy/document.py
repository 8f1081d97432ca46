"""What a site agrees to: ``policy.toml``, written by the site, enforced by its own process outside the app bundle.

Whoever starts a run chooses its settings, and the server may send any message: neither is trusted. Every refusal is one
line for the site's own log. Of a run the server is told the line too, which holds nothing but the run's settings and
the policy's; of a message only that the policy refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self, get_type_hints

from client.node.policy import inbound
from client.node.policy.aggregation import AggregationPolicy
from client.node.policy.bounds import DEFAULT_BOUNDS, Bound, bound_of
from client.node.policy.clauses import BundlePolicy, DataPolicy, OutboundPolicy, PrivacyPolicy, RunPolicy
from common.config.settings import Config
from common.config.toml_file import read_table
from common.errors import UsageError
from common.privacy.recipe import refuse_leaks
from common.validate import one_of


@dataclass(frozen=True, kw_only=True)
class Policy:
    """All that a site agrees to; the defaults allow no bundle, and so nothing."""

    bundle: BundlePolicy = field(default_factory=BundlePolicy)
    run: RunPolicy = field(default_factory=RunPolicy)
    privacy: PrivacyPolicy = field(default_factory=PrivacyPolicy)
    data: DataPolicy = field(default_factory=DataPolicy)
    outbound: OutboundPolicy = field(default_factory=OutboundPolicy)
    aggregation: AggregationPolicy = field(default_factory=AggregationPolicy)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a ``policy.toml``; what it does not say is as by default.

        Raises:
            UsageError: the file is missing, is not TOML, or has an unknown key (the nearest is named) or a wrong value.
        """
        table = read_table(path, expected="expected the site's policy")
        try:
            sections = get_type_hints(cls)
            for name in table:
                one_of("the section", name, sections)
            own = cls(**{name: _section(sections[name], name, content) for name, content in table.items()})
            return own._beside(path.parent)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    def _beside(self, folder: Path) -> Self:
        """The same with the file of its peers' keys found beside it, and looked at."""
        if not self.aggregation.peers:
            return self
        aggregation = dataclasses.replace(self.aggregation, peers=str(folder / self.aggregation.peers))
        aggregation.keys()
        return dataclasses.replace(self, aggregation=aggregation)

    def of_corpus(self, corpus: str) -> Self:
        """The same at a site that has this corpus, whose own classes are meant where none are named.

        Raises:
            UsageError: there is no such corpus.
        """
        return dataclasses.replace(self, data=self.data.of_corpus(corpus))

    def refusal(self, bundle_hash: str, config: Config) -> str | None:
        """Why a run is refused, at any hour, in one line; None where it is not.

        Args:
            bundle_hash: SHA-256 of the bundle, computed by the site.
            config: of the run.
        """
        return next(self._reasons(bundle_hash, config), None)

    def _reasons(self, bundle_hash: str, config: Config) -> Iterator[str]:
        if bundle_hash not in self.bundle.hashes:
            yield f"the bundle is {bundle_hash}, none of the {len(self.bundle.hashes)} that are allowed (bundle.hashes)"
        yield from self.run.reasons(config)
        yield from self.data.reasons(config.data, config.features.encoder)
        yield from self.privacy.reasons(config.privacy)
        yield from self.aggregation.reasons(config.federation)
        try:
            refuse_leaks(config)
        except UsageError as error:
            private = "is private and would tell more than the noise hides"
            yield f"the run {private if config.privacy.on else 'is not private'}: {error}"

    def message_refusal(self, message_type: str, config: Mapping[str, Any], now: datetime | None = None) -> str | None:
        """Why a message of a run that was allowed is refused, in one line; None where it is not.

        Args:
            message_type: Flower's message type, as in ``common.protocol``.
            config: the message's own settings, which the server chooses anew each time.
            now: by the node's clock; None for no check of the hours.
        """
        return next(self._message_reasons(message_type, config, now), None)

    def _message_reasons(self, kind: str, config: Mapping[str, Any], now: datetime | None) -> Iterator[str]:
        if now is not None:
            yield from self.run.closed(now)
        low, high = self.run.bounds.get("federation.proximal_mu", (0.0, 1e6))  # type: ignore[misc]
        yield from inbound.reasons(
            kind, config, allowed=self.outbound.types, max_rounds=self.run.max_rounds, mu=(float(low), float(high))
        )


def _section(kind: type[Any], name: str, content: Any) -> Any:
    """A section of the file, its keys and types checked."""
    if not isinstance(content, dict):
        raise UsageError(f"{name} is {content!r}, expected a section [{name}]")
    hints = get_type_hints(kind)
    for key in content:
        one_of(f"the key in [{name}]", key, hints)
    return kind(**{key: _typed(f"{name}.{key}", value, hints[key]) for key, value in content.items()})


def _typed(name: str, value: Any, kind: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind in (bool, int, float, str) and type(value) is kind:
        return value
    if kind == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind == Mapping[str, Bound] and isinstance(value, dict):
        return DEFAULT_BOUNDS | {key: bound_of(key, item) for key, item in value.items()}
    raise UsageError(f"{name} is {value!r}, expected {_EXPECTED[kind]}")


_EXPECTED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[str, ...]: "a list of texts",
    Mapping[str, Bound]: "a table",
}
