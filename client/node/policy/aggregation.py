"""What a site asks of how its updates are added up: in secure sums, with whom, and how much of itself it puts in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.config.settings import FederationConfig
from common.errors import UsageError
from common.secure import pinned_keys
from common.secure.fixed_point import MOST
from common.secure.roster import LEAST
from common.validate import in_range, one_of

REQUIRED, ALLOWED, NEVER = "required", "allowed", "never"


@dataclass(frozen=True, kw_only=True)
class AggregationPolicy:
    """How updates may be added up.

    Without ``peers`` the site is in no secure sum: it would have to take its peers' keys on the coordinator's word.

    Attributes:
        secure: ``required``: no update leaves but masked; ``allowed``: masked and plain ones; ``never``: plain alone.
        peers: a file beside the policy with the keys that the sites compared (``common.secure.pinned_keys``); empty for
            none. Of a policy that was read it is the whole path.
        least_sites: that a sum is of.
        largest_share: of a sum's recordings that one site may have.
        max_update: the largest entry of the site's own update, in absolute value.
        max_norm: its largest Euclidean norm.
    """

    secure: str = ALLOWED
    peers: str = ""
    least_sites: int = LEAST
    largest_share: float = 0.5
    max_update: float = 3.99
    max_norm: float = 100.0

    def __post_init__(self) -> None:
        one_of("aggregation.secure", self.secure, (REQUIRED, ALLOWED, NEVER))
        if self.secure == REQUIRED and not self.peers:
            raise UsageError(
                f'aggregation.secure is {REQUIRED!r} and aggregation.peers names no file, expected e.g. "roster.toml" '
                "with the keys that the sites compared"
            )
        in_range("aggregation.least_sites", self.least_sites, LEAST, 10**4)
        in_range("aggregation.largest_share", self.largest_share, 1 / LEAST, 1.0)
        in_range("aggregation.max_update", self.max_update, 2.0**-20, MOST)
        in_range("aggregation.max_norm", self.max_norm, 2.0**-20, 1e9)

    def reasons(self, run: FederationConfig) -> Iterator[str]:
        """Why a run is refused."""
        if self.secure == REQUIRED and not run.secure:
            yield "the run adds updates up in plain, the policy asks for masks (aggregation.secure); see --secure"
        if not run.secure:
            return
        if self.secure == NEVER:
            yield "the run adds updates up behind masks, which the policy takes no part in (aggregation.secure)"
        if run.fraction < 1:
            yield (
                f"the run has {run.fraction:g} of the sites in a round (federation.fraction); behind masks all "
                "train in each, for the difference of two rounds would tell of who came or went"
            )
        if not self.peers:
            yield "the run adds updates up behind masks, and the policy names no keys of peers (aggregation.peers)"

    def keys(self) -> dict[str, str]:
        """The registered keys of the sites with which this one adds up, by name; none where no file is named.

        Raises:
            UsageError: the file is missing, or is none of the kind.
        """
        return pinned_keys.read(Path(self.peers)) if self.peers else {}
