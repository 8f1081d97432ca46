"""The two forms of a kit: what its policy allows as the coordinator sends it, and its words for that.

A site may change each of it. ``strict`` is what sites are sent unless the coordinator asks for ``open``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KitForm:
    """What a kit's policy says of privacy; see ``docker/site/policy.toml`` for each.

    Attributes:
        allows: what that comes to, in one line: the first of the policy and of the kit's README.
        unit: that every run must hide; empty for none.
        max_epsilon: of a run.
        budget: of all runs together, as TOML has it.
        allow_test: whether held-out speakers of the site are scored.
    """

    allows: str
    unit: str
    max_epsilon: float
    budget: str
    allow_test: bool

    def texts(self) -> dict[str, str]:
        """What the marks of the templates become."""
        return {
            "@ALLOWS@": self.allows,
            "@UNIT@": self.unit,
            "@MAX_EPSILON@": f"{self.max_epsilon:.1f}",
            "@BUDGET@": self.budget,
            "@ALLOW_TEST@": str(self.allow_test).lower(),
        }


STRICT = KitForm(
    allows="A STRICT kit: private runs alone (each recording hidden, ε at most 8; 16 in all runs); scores nobody here.",
    unit="utterance",
    max_epsilon=8.0,
    budget="16.0",
    allow_test=False,
)
OPEN = KitForm(
    allows="AN OPEN kit: runs WITHOUT PRIVACY too, whose models may tell of single people; nothing bounds all runs.",
    unit="",
    max_epsilon=10.0,
    budget="inf",
    allow_test=True,
)
