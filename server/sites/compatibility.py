"""Whether the sites of a run mean the same: their versions, features, classes and labels, compared before round 1."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common import protocol
from common.errors import FederationError
from common.messages.fields import short

log = logging.getLogger("fedser.server")


@dataclass(frozen=True, kw_only=True)
class SiteTraits:
    """The traits of a site by which the server tells whether the sites of a run fit together.

    Attributes:
        protocol: the version of ``common.protocol`` that it speaks.
        release: its fedser and torch.
        classes: in the order that numbers them.
        missing: those that none of its training recordings has.
        features: of a frame.
        labels: a digest of how its labels become classes.
        encoder: SHA-256 of the public encoder in front of the model; empty for none.
    """

    protocol: int
    release: str
    classes: tuple[str, ...]
    missing: tuple[str, ...]
    features: int
    labels: str
    encoder: str = ""


def unfit(traits: SiteTraits, classes: Sequence[str], encoder: str = "") -> str | None:
    """Why a site can't be in a run, whatever the others are, in a few words; None where it can.

    Args:
        traits: the site's.
        classes: the run's.
        encoder: SHA-256 of the run's; empty for none.
    """
    if traits.protocol != protocol.VERSION:
        return f"it speaks protocol {traits.protocol}, this server {protocol.VERSION}; install the same fedser at both"
    if traits.classes != tuple(classes):
        return f"it has the classes {short(list(traits.classes))}, the run has {list(classes)}"
    if traits.encoder != encoder:
        own, runs = (digest[:16] or "none" for digest in (traits.encoder, encoder))
        return f"it has the encoder {own} in front of the model, the run has {runs} (SHA-256)"
    if odd := sorted(set(traits.missing) - set(classes)):
        return f"it has no recording of {short(odd[0])}, which is no class of the run"
    return None


def odd_widths(sites: Mapping[str, SiteTraits], features: int | None) -> dict[str, str]:
    """Why sites can't be in a run with most of the others, by site: their frames are of another width.

    Args:
        sites: the traits of all.
        features: of a frame, by the run's settings, which decide between equals; matrices that a list names have their
            own, whatever the settings.
    """
    widths = Counter(traits.features for traits in sites.values())
    usual = max(widths, key=lambda width: (widths[width], width == features, -width), default=0)
    return {
        site: f"it has {traits.features} features a frame, most sites have {usual}; give them the same settings"
        for site, traits in sites.items()
        if traits.features != usual
    }


def agree(sites: Mapping[str, SiteTraits], classes: Sequence[str], *, strict: bool) -> None:
    """Compare the sites' traits, and refuse a run whose sites don't fit together.

    Another protocol, other classes, another width of the features, or a class that no site has, end the run. Another
    release, other labels behind the classes, or a class that a site lacks may be meant: they are told, and end a
    strict run.

    Raises:
        FederationError: as said; the sites that differ are named.
    """
    for site, traits in sites.items():
        if traits.protocol != protocol.VERSION:
            raise FederationError(
                f"site {site} speaks protocol {traits.protocol}, this server {protocol.VERSION}; "
                "install the same fedser at both"
            )
        if traits.classes != tuple(classes):
            raise FederationError(f"site {site} has the classes {list(traits.classes)}, the run has {list(classes)}")
    if found := _groups(sites, lambda traits: traits.features):
        told = ", ".join(f"{' and '.join(names)} {width}" for width, names in found.items())
        raise FederationError(f"the sites' features differ: {told} a frame; give them the same settings")
    if nowhere := [name for name in classes if all(name in traits.missing for traits in sites.values())]:
        raise FederationError(f"no site has a training recording of {', '.join(nowhere)}; choose other --classes")
    differences = list(_differences(sites))
    for difference in differences:
        log.warning("%s", difference)
    if strict and differences:
        raise FederationError(f"--strict: {'; '.join(differences)}")


def _differences(sites: Mapping[str, SiteTraits]) -> list[str]:
    differences = []
    if found := _groups(sites, lambda traits: traits.release):
        differences.append(
            "the sites' releases differ: " + ", ".join(f"{' and '.join(n)} {r}" for r, n in found.items())
        )
    if found := _groups(sites, lambda traits: traits.labels):
        odd = " and ".join(" and ".join(names) for names in list(found.values())[1:])
        differences.append(f"{odd} makes classes of other labels than {' and '.join(next(iter(found.values())))}")
    lacking = [
        f"{site} has no recording of {', '.join(traits.missing)}" for site, traits in sites.items() if traits.missing
    ]
    return [*differences, *(["; ".join(lacking)] if lacking else [])]


def _groups(sites: Mapping[str, SiteTraits], key: Callable[[SiteTraits], object]) -> dict[object, list[str]]:
    """The sites by what they say, the largest group first; nothing where all say the same."""
    groups: dict[object, list[str]] = {}
    for site, traits in sorted(sites.items()):
        groups.setdefault(key(traits), []).append(site)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return dict(ordered) if len(ordered) > 1 else {}
