"""What a simulation refuses before any work: what it could not promise, however it was started."""

from __future__ import annotations

from collections.abc import Sequence

from common.config.settings import Config
from common.curation.selection import Selection
from common.data.places import count_units
from common.data.resident import digests_of
from common.errors import UsageError
from common.privacy.recipe import refuse_leaks
from common.splits.plan import Plan
from common.utterance import Utterance


def refuse_unkept(config: Config, *, baselines: bool = False) -> None:
    """Refuse a run that would not keep what its settings say of privacy.

    Args:
        config: of the run.
        baselines: whether the pooled model and each site alone are trained too.

    Raises:
        UsageError: as ``common.privacy.recipe.refuse_leaks``; a public model scales nothing; or the baselines'
            federations of one site would show the site that is to be hidden.
    """
    refuse_leaks(config)
    if config.data.public and config.data.normalise != "public" and not config.features.encoder.components:
        raise UsageError("--public MODEL needs --normalise public, which scales by that model of public data")
    if config.privacy.on and not config.privacy.at_sites and baselines:
        raise UsageError("--baselines has federations of one site, which --privacy-unit site can't hide")
    if config.privacy.shared and baselines:
        raise UsageError(
            "--baselines has federations of one site, which has nobody to share noise with; leave it out, or use "
            "--privacy-noise site"
        )


def refuse_large_delta(config: Config, plans: Sequence[Plan], selection: Selection, *, pooled: bool) -> None:
    """Refuse, before any work, a δ that is too large for the largest site, or, if it is trained, the pooled model.

    Raises:
        UsageError: as ``common.privacy.terms.check_delta``.
    """
    from common.privacy.terms import check_delta

    privacy = config.privacy
    for plan in plans if privacy.on else ():
        counts = [len(plan.sites)]
        if privacy.at_sites:
            counts = [*units_at_sites(config, plan, selection.utterances).values()]
        check_delta(privacy.delta, sum(counts) if pooled else max(counts), privacy.unit)


def units_at_sites(config: Config, plan: Plan, utterances: Sequence[Utterance]) -> dict[str, int]:
    """How many units each site trains on, by the site's name: recordings, where nothing is private.

    Copies are one recording in a private run, as far as this process has read them: before, each is counted.

    Args:
        config: of the run.
        plan: of the fold.
        utterances: all that are selected.
    """
    privacy = config.privacy
    skipped = set(plan.skipped)
    owner = {speaker: site.name for site in plan.sites for speaker in site.train}
    held: dict[str, list[Utterance]] = {site.name: [] for site in plan.sites}
    for utterance in utterances:
        if utterance.speaker in owner and utterance.name not in skipped:
            held[owner[utterance.speaker]].append(utterance)
    if not privacy.at_sites:
        return {name: len(own) for name, own in held.items()}
    return {name: count_units(privacy.protects, own, digests_of(config, own)) for name, own in held.items()}
