"""What a run asks of its sites and of their answers: how many a robust rule can bear, whether some may be late."""

from __future__ import annotations

import logging
import math

from common.config.settings import Config, FederationConfig, flatten
from common.errors import UsageError
from common.secure.roster import LEAST
from common.strategies.available import CATALOGUE

log = logging.getLogger("fedser.server")

_USUAL_TRIM = 0.2  # of the sites at each end, where no share was set
FEWEST = 3  # sites of which one can be cut off at each end, and one is left


def cut(trim: float, sites: int) -> int:
    """How many of so many sites' values the trimmed mean leaves out at each end, at least one.

    Args:
        trim: the share that was set; 0 for none.
        sites: whose updates there are.
    """
    return max(1, int((trim or _USUAL_TRIM) * sites))


def selected(malicious: int, sites: int) -> int:
    """How many updates Multi-Krum averages: all but as many as it allows for (Blanchard et al. 2017)."""
    return max(1, sites - malicious)


def check_rule(config: FederationConfig, sites: int) -> None:
    """Refuse a robust rule that would do nothing in a run's rounds; warn where it promises less than it says.

    Args:
        config: of the run.
        sites: that are in it; a round has the ``fraction`` of them, and may end with the ``quorum`` of these.

    Raises:
        UsageError: the trimmed mean would cut nothing off, or nothing would be left.
    """
    sites = max(min(config.min_sites, sites), math.ceil(config.fraction * sites - 1e-9))
    sites = math.ceil(config.quorum * sites - 1e-9)
    if config.strategy == "fedtrimmedavg":
        if sites < FEWEST:
            raise UsageError(
                f"--strategy fedtrimmedavg: {sites} sites in a round, expected at least {FEWEST}: it leaves "
                "out one at each end"
            )
        if config.trim and not int(config.trim * sites):
            raise UsageError(
                f"federation.trim {config.trim:g} of {sites} sites cuts nothing off: expected at least "
                f"{least_trim(sites):g}, or 0 for a fifth and one site at least"
            )
    if config.strategy in ("krum", "multikrum") and sites < 2 * config.malicious + 3:
        log.warning(
            "%s allows for %d faulty of %d sites, which it can't promise below %d; federation.malicious can be smaller",
            *(config.strategy, config.malicious, sites, 2 * config.malicious + 3),
        )


def check_secure(config: Config, sites: int) -> None:
    """Refuse what a sum behind masks can't be of.

    Args:
        config: of the run.
        sites: that are in it.

    Raises:
        UsageError: a rule needs each update, or a share of the sites, or there are too few.
    """
    federation = config.federation
    if not federation.secure:
        return
    declared = CATALOGUE[federation.strategy]
    if declared.holds_all or declared.up or declared.keeps:
        raise UsageError(
            f"--secure has the sum of the updates alone, {federation.strategy} needs "
            f"{'each of them' if declared.holds_all else 'more beside them'}; use fedavg, fedprox, fedavgm, fedadam or "
            "fedyogi"
        )
    if federation.fraction < 1.0 or federation.weights != "examples":
        raise UsageError(
            "--secure adds up all sites, each by its own count: leave out --fraction and --weights; with a part of the "
            "sites two rounds would differ by one"
        )
    if config.privacy.on and not config.privacy.at_sites:
        raise UsageError("--secure hides each site's update from the server, which --privacy-unit site has to clip")
    if sites < LEAST:
        raise UsageError(
            f"--secure: {sites} sites, expected at least {LEAST}: of two each would know the other's update"
        )


# Settings under which a round needs the answer of every site that was asked, and what they are then.
NEED_ALL = {"federation.secure": (True, "--secure"), "privacy.noise": ("shared", "--privacy-noise shared")}


def check_quorum(config: Config) -> None:
    """Refuse a quorum where a round needs every site that was asked.

    Raises:
        UsageError: it does.
    """
    if config.federation.quorum == 1:
        return
    settings = flatten(config)
    for name, (value, flag) in NEED_ALL.items():
        if settings.get(name) == value:
            raise UsageError(
                f"--quorum {config.federation.quorum:g}: with {flag} a round needs the answer of every site that was "
                "asked; leave it out"
            )


def least_trim(sites: int) -> float:
    """The smallest share, in hundredths, of which one site is cut off at each end."""
    return math.ceil(100 / sites) / 100
