"""What a private simulation refuses before any work."""

from __future__ import annotations

from collections.abc import Sequence

from common.config.settings import Config
from common.curation.selection import Selection
from common.splits.plan import Plan


def refuse_large_delta(config: Config, plans: Sequence[Plan], selection: Selection, *, pooled: bool) -> None:
    """Refuse, before any work, a δ that is too large for the largest site, or, if it is trained, the pooled model.

    Raises:
        UsageError: as ``common.privacy.terms.check_delta``.
    """
    from common.privacy.terms import check_delta

    unit = config.privacy.unit
    for plan in plans if config.privacy.on else ():
        counts = [len(plan.sites)]
        if unit == "speaker":
            counts = [len(site.train) for site in plan.sites]
        if unit == "utterance":
            skipped = set(plan.skipped)
            owner = {speaker: site.name for site in plan.sites for speaker in site.train}
            of_sites = [owner[u.speaker] for u in selection.utterances if u.speaker in owner and u.name not in skipped]
            counts = [of_sites.count(site.name) for site in plan.sites]
        check_delta(config.privacy.delta, sum(counts) if pooled else max(counts), unit)
