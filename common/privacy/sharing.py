"""What a run with shared noise needs: refused in one line before it starts, by settings and public numbers alone."""

from __future__ import annotations

from collections.abc import Iterator

from common.config.settings import Config
from common.errors import UsageError

LEAST_HONEST = 2  # parts: of one alone a sum is that site's own, with its noise known to whoever else is in it


def steps_per_round(config: Config, rate: float) -> int:
    """Noisy steps a round: as many as pass over the units so often; one where sites or a server sum each."""
    privacy = config.privacy
    return max(1, round(config.training.local_epochs / rate)) if privacy.protects.at_sites and not privacy.shared else 1


def refuse_unshareable(config: Config) -> None:
    """Refuse settings with which sites cannot share one noise.

    Raises:
        UsageError: the first of them, with its flag.
    """
    for line in _refusals(config):
        raise UsageError(line)


def _refusals(config: Config) -> Iterator[str]:
    privacy, federation = config.privacy, config.federation
    if not privacy.shared:
        if privacy.noise == "shared":
            yield "--privacy-noise shared needs a private run: give --epsilon or --noise-multiplier"
        if privacy.honest:
            yield f"--honest {privacy.honest} is of shared noise: give --privacy-noise shared, or leave it out"
        return
    if not federation.secure:
        yield (
            "--privacy-noise shared needs --secure: a site's own part of the noise is too little for whoever sees its "
            "update alone"
        )
    if federation.strategy != "fedavg":
        yield (
            f"--strategy {federation.strategy} takes models, not a summed step; with --privacy-noise shared use fedavg"
        )
    if federation.fraction < 1:
        yield "--fraction: with --privacy-noise shared all sites add their part in every round; leave it out"
    if not privacy.sample_rate:
        yield (
            "privacy.sample_rate is 0, of each site's own batch size; with --privacy-noise shared all sites draw at "
            "one rate: give privacy.sample_rate"
        )
    if 0 < privacy.honest < LEAST_HONEST:
        yield f"--honest {privacy.honest} shares nothing, expected {LEAST_HONEST} or more; leave it out for all but one"


def shared_among(config: Config, sites: int) -> Config:
    """The settings with how many of a run's sites are taken for honest: all but one where nothing was said.

    A round waits for as many sites as its sum must have before it asks any: one that cannot be opened is paid for.

    Args:
        config: of the run.
        sites: how many there are, in the fold with the fewest.

    Raises:
        UsageError: too few sites share the noise, or more are to be honest than can be unknown to one of them.
    """
    privacy = config.privacy
    if not privacy.shared:
        return config
    if sites <= LEAST_HONEST:
        raise UsageError(
            f"--privacy-noise shared among {sites} sites: expected at least {LEAST_HONEST + 1}, for each knows its "
            "own part; use --privacy-noise site, or more --sites"
        )
    if privacy.honest >= sites:
        raise UsageError(
            f"--honest {privacy.honest} of {sites} sites: expected {LEAST_HONEST} to {sites - 1}, for each of them "
            "knows its own part"
        )
    honest = privacy.honest or sites - 1
    least = max(config.federation.min_sites, least_sites(honest))
    return config.with_values({"privacy.honest": honest, "federation.min_sites": least})


def least_sites(honest: int) -> int:
    """How many sites' parts a sum must have, so that so many are unknown to one that takes part and looks."""
    return honest + 1
