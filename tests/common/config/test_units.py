from __future__ import annotations

from collections.abc import Sequence

import pytest

from common.config.settings import PrivacyConfig
from common.config.units import SITE, SPEAKER, UNITS, UTTERANCE, Unit, listed, rank
from common.privacy.recipe import RECIPES
from common.utterance import Utterance
from tests.common.examples import utterance

OWN = [utterance(speaker, str(place)) for place, speaker in enumerate("abbac")]


@pytest.mark.parametrize(
    ("unit", "groups"),
    [(UTTERANCE, [[0], [1], [2], [3], [4]]), (SPEAKER, [[0, 3], [1, 2], [4]]), (SITE, [[0, 1, 2, 3, 4]])],
)
def test_a_sites_recordings_are_grouped_by_unit(unit: Unit, groups: list[list[int]]) -> None:
    assert unit.groups(OWN) == groups
    assert unit.count(OWN) == len(groups)
    assert unit.groups([]) == []
    assert unit.single is all(len(group) == 1 for group in groups)


def test_one_recording_twice_is_two_units_but_one_speaker() -> None:
    assert (UTTERANCE.count([OWN[0]] * 2), SPEAKER.count([OWN[0]] * 2)) == (2, 1)


def apart(unit: Unit, one: Sequence[Sequence[Utterance]], other: Sequence[Sequence[Utterance]]) -> int:
    """The steps between two federations, each a list of sites, by adding or removing one unit at a time."""
    units = [
        {
            (site, frozenset(own[place].name for place in group))
            for site, own in enumerate(sites)
            for group in unit.groups(own)
        }
        for sites in (one, other)
    ]
    return len(units[0] ^ units[1])


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("hidden", UNITS.values(), ids=UNITS)
def test_a_unit_hides_others_in_as_many_steps_as_it_says(unit: Unit, hidden: Unit) -> None:
    federation = [OWN, [utterance("d", "5"), utterance("d", "6")]]
    most = 0
    for site, own in enumerate(federation):
        for group in hidden.groups(own):
            without = [list(of) for of in federation]
            without[site] = [u for place, u in enumerate(own) if place not in group]
            most = max(most, apart(unit, federation, without))
    assert unit.covers(hidden.name) == (unit is hidden or hidden.name in unit.hides)
    if unit.covers(hidden.name):
        assert most == unit.hides.get(hidden.name, 1)
    else:
        assert most == max(len(unit.groups([own[p] for p in g])) for own in federation for g in hidden.groups(own))


def test_the_smallest_comes_first() -> None:
    assert [rank(name) for name in UNITS] == [0, 1, 2]
    assert all(rank(smaller) < rank(name) for name, unit in UNITS.items() for smaller in unit.hides)
    assert listed() == "utterance, speaker or site"
    assert set(RECIPES) == set(UNITS)


@pytest.mark.parametrize("name", UNITS)
def test_the_noise_is_the_sites_or_the_servers_and_of_a_plain_run_nobodys(name: str) -> None:
    private, plain = PrivacyConfig(unit=name, epsilon=8.0), PrivacyConfig(unit=name)
    assert private.protects is UNITS[name]
    assert (private.at_sites, private.at_server) == (name != "site", name == "site")
    assert (plain.at_sites, plain.at_server) == (False, False)
