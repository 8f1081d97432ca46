"""How much each site counts: held to what was agreed with it, and, where nothing was, to a bounded share.

Nobody but the site can count its recordings, and its count is its weight in the mean, in the scaling of the features
and in the choice of the round. So a coordinator agrees it with the site (``fedser federation add-site --recordings N
--speakers N``), and a site that says more than a fifth beyond that is not in the run. A site with whom nothing is
agreed has at most ``2 / sites`` of all weight, which is twice the share of one among equals. In a simulation all counts
are the program's own, and imbalance is what is studied: nothing is held to anything there.

The share is of the weight of all sites of the run. In a round in which others are away it is larger by their part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from common.data.normalise import Sums
from server.sites.handshake import Node

SLACK = 1.2  # of what was agreed: recordings come in, and are found to be broken
SHARE = 2  # of so many equal sites is the share that a site has at most with whom nothing is agreed
MOST_STEPS = 50.0  # times the median site's, likewise
LONGEST = 4  # times the usual length of a recording is what a site's are taken for at most


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How much a site is agreed to hold.

    Attributes:
        recordings: in training, validation and test together.
        speakers: likewise.
    """

    recordings: int
    speakers: int

    def excess(self, node: Node, *, speakers_train: bool) -> str | None:
        """Why a site's word of what it holds is too much, in a few words; None where it is not.

        Args:
            node: what it says.
            speakers_train: whether its ``examples`` are of speakers, as where these are hidden.
        """
        told = node.examples + node.validation + node.test, node.speakers + node.validation_speakers
        if speakers_train:
            told = told[0], max(told[1], node.examples + node.validation_speakers)
        if told[0] <= SLACK * self.recordings and told[1] <= SLACK * self.speakers:
            return None
        return (
            f"it says that it holds {told[0]} recordings of {told[1]} speakers, agreed are {self.recordings} of "
            f"{self.speakers}, and a fifth more; agree it anew: fedser federation add-site"
        )

    def unseen(self, node: Node) -> int:
        """How many speakers it can have held out, beside those that it trains and validates on."""
        return max(0, int(SLACK * self.speakers) - node.speakers - node.validation_speakers)


def bounded(counts: Mapping[str, int], limited: Collection[str]) -> dict[str, int]:
    """The counts, none of the limited sites' more than ``SHARE`` over the number of sites of their sum.

    Args:
        counts: by site.
        limited: those with whom nothing is agreed.
    """
    sites, found = len(counts), dict(counts)
    if sites <= SHARE:
        return found
    largest = sorted(set(limited) & set(counts), key=lambda site: (-counts[site], site))
    rest = sum(counts.values())
    for held, site in enumerate(largest):
        # ``held`` sites have their whole share already: together with the rest they are rest / (1 - held * share).
        if counts[site] * (sites - SHARE * held) <= SHARE * rest:
            break
        rest -= counts[site]
        most = SHARE * rest // (sites - SHARE * (held + 1))
        found |= dict.fromkeys(largest[: held + 1], most)
    return found


def limited(nodes: Collection[Node]) -> set[str]:
    """The sites whose own word is all that is known of how much they hold."""
    return {node.site for node in nodes if node.limited}


def pooled(sums: Mapping[str, Sums], nodes: Collection[Node]) -> Sums:
    """The sites' sums together, in the order of the sites' names.

    In a deployment a site's frames weigh at most what its recordings do that are ``LONGEST`` times as long as the
    median site's, and, where nothing is agreed with it, as any other count.

    Args:
        sums: by site, in the order of the names.
        nodes: all that take part.
    """
    frames = {site: own.frames for site, own in sums.items()}
    counts = {site: own.recordings for site, own in sums.items()}
    known = {node.site: node for node in nodes if node.site in frames}
    if any(node.registered for node in known.values()):
        counts = bounded(counts, limited(known.values()))
        frames = bounded(_of_usual_length(frames, known), limited(known.values()))
    weighed = Sums.added([_weighing(own, frames[site]) for site, own in sums.items()])
    matrices = sum(counts[site] for site, own in sums.items() if own.of_matrices)
    return replace(weighed, recordings=sum(counts.values()), matrices=matrices)


def _of_usual_length(frames: Mapping[str, int], nodes: Mapping[str, Node]) -> dict[str, int]:
    counts = bounded({site: nodes[site].examples for site in frames}, limited(nodes.values()))
    lengths = sorted(frames[site] / nodes[site].examples for site in frames)
    usual = lengths[(len(lengths) - 1) // 2]  # of two the shorter
    return {site: min(own, max(1, int(LONGEST * usual * counts[site]))) for site, own in frames.items()}


def _weighing(sums: Sums, frames: int) -> Sums:
    """The same means and deviations, as if of so many frames."""
    if frames == sums.frames:
        return sums
    part = frames / sums.frames
    return Sums(frames=frames, total=sums.total * part, square=sums.square * part)
