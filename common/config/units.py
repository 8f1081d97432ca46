"""The units of privacy: whose contribution a private run hides, and all that follows from that choice.

Neighbouring worlds differ in one unit, whose place stays and whose contribution is nothing in one of them (zero-out
adjacency); an ε is of that difference. So a unit decides what is counted and drawn at a site, whose contribution is
clipped, who adds the noise, and what the report promises.

Places are public: how many units there are tells the sample rate, the steps and the noise, so it is no secret that
somebody joined or left between two runs, only what they contributed. ``PUBLIC`` and ``public`` list what else is.

What a private run sets by default, and what it may set, are ``common.privacy.recipe``'s affair, which knows a unit by
its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from common.utterance import Utterance


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Whose contribution is hidden.

    Attributes:
        name: as ``privacy.unit`` takes it, and ledgers and results keep it.
        plural: of the name.
        noun: what a report calls it.
        nouns: the same of several.
        at_sites: the sites add the noise, and nobody else is trusted; otherwise a trusted server does.
        owner: which of a site's recordings are one unit's: those of which this says the same; None where each recording
            is a unit by itself.
        hides: the other units that it hides too, each with the steps, from neighbour to neighbour, between two worlds
            that differ in one of them. A recording of a speaker who stays is two: the speaker's place is emptied, and
            filled again with the other recordings. A clipped sum moves by at most the clipping norm in each step, so by
            twice that: a speaker's mean over recordings moves when one of them goes, it doesn't vanish.
        neighbours: what two worlds differ in, in words.
        trust: who is trusted with what, in words.
        public: which numbers are public, in words.
        left_out: what a run leaves out, beside the noise, so that nothing tells of another unit, in words.
    """

    name: str
    plural: str
    noun: str
    nouns: str
    at_sites: bool
    owner: Callable[[Utterance], str] | None
    hides: Mapping[str, int] = field(default_factory=dict, hash=False)
    neighbours: str
    trust: str
    public: str
    left_out: str

    @property
    def single(self) -> bool:
        """Whether each recording is a unit, so that one pass over a batch gives the gradients of many."""
        return self.owner is None

    def covers(self, name: str) -> bool:
        """Whether it hides a unit of this name, be it as one of its own kind or as a part of one."""
        return self.moves(name) is not None

    def moves(self, name: str) -> int | None:
        """How many clipping norms a sum moves by at most when one unit of this name is emptied; None for no bound."""
        return 1 if name == self.name else self.hides.get(name)

    def groups(self, utterances: Sequence[Utterance]) -> list[list[int]]:
        """The recordings of each unit at one site, by their places among ``utterances``, in the order of the first."""
        found: dict[int | str, list[int]] = {}
        for place, utterance in enumerate(utterances):
            found.setdefault(place if self.owner is None else self.owner(utterance), []).append(place)
        return list(found.values())

    def count(self, utterances: Sequence[Utterance]) -> int:
        """How many units these recordings of one site are."""
        return len(self.groups(utterances))


def _speaker(utterance: Utterance) -> str:
    return utterance.speaker


def _site(utterance: Utterance) -> str:  # noqa: ARG001 - all recordings of a site are one unit's
    return ""


_NOISE_AT_SITES = "Nobody but the site is trusted: the noise is added there, and the server sees noisy updates only."
_COUNTED = (
    "The number of {} at each site, which the sample rate, the noise and the weights of the average tell; the numbers "
    "of its speakers and of its held-out speakers and recordings."
)
PUBLIC = (  # in every private run, whatever its unit
    "The sites' names and versions, and which took part in a round; a digest of how labels become classes; how far "
    "each site's ledger and audit log are, as a count and a digest, that its budget is spent or that too many of its "
    "rounds were cut short, and what it spent where its policy has that told; where updates are added up behind masks, "
    "the sites' keys of the run, signatures, and shares and seeds of masks; all settings. Whoever joins or leaves "
    "between two runs changes the numbers: that somebody did shows, not what they sound like."
)

UTTERANCE = Unit(
    name="utterance",
    plural="utterances",
    noun="recording",
    nouns="recordings",
    at_sites=True,
    owner=None,
    neighbours="what one recording contributes: its place stays in both, and in one of them it contributes nothing",
    trust=_NOISE_AT_SITES,
    public=_COUNTED.format("recordings"),
    left_out="Each recording is normalised by itself, or by public figures; there are no class weights, validation "
    "speakers or losses.",
)
SPEAKER = Unit(
    name="speaker",
    plural="speakers",
    noun="speaker",
    nouns="speakers",
    at_sites=True,
    owner=_speaker,
    hides={"utterance": 2},
    neighbours="what one person contributes with all recordings at a site: the place stays in both, and in one of them "
    "nothing is contributed",
    trust=_NOISE_AT_SITES,
    public=_COUNTED.format("speakers"),
    left_out="Each speaker is normalised by themselves; there are no class weights, validation speakers or losses.",
)
SITE = Unit(
    name="site",
    plural="sites",
    noun="site",
    nouns="sites",
    at_sites=False,
    owner=_site,
    hides={"utterance": 2, "speaker": 2},
    neighbours="what one site contributes with all its people: its place stays in both, and in one of them it "
    "contributes nothing",
    trust="The server is trusted: it sees each site's update as it is, clips it, and adds the noise. The promise is "
    "about the models that leave it.",
    public="The number of sites, and for each the numbers of its recordings and speakers.",
    left_out="There are no validation speakers and no published losses; normalisation needs nothing of another site.",
)
UNITS = {unit.name: unit for unit in (UTTERANCE, SPEAKER, SITE)}  # the smallest first


def rank(name: str) -> int:
    """A unit's place among all, the smallest's first: the smaller it is, the less may tell of others of its kind."""
    return list(UNITS).index(name)


def finest(names: Iterable[str]) -> str:
    """The smallest of some units."""
    return min(names, key=rank)


def listed() -> str:
    """The names of all, ``utterance, speaker or site``."""
    *most, last = UNITS
    return f"{', '.join(most)} or {last}"
