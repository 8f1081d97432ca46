import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SplitError, UsageError
from common.splits.folds import Fold, held_out
from common.splits.sites import SiteSplit, split_sites
from common.utterance import Utterance
from tests.common.examples import utterance


def crowd(size: int, *, start: int = 0) -> list[Utterance]:
    """Speakers in two genders, at two sites and in two sessions."""
    return [
        utterance(f"{i:02}", gender=("female", "male")[i % 2], site=f"clinic-{i % 2}", session=f"{i % 3}")
        for i in range(start, start + size)
    ]


def everyone(utterances: list[Utterance]) -> Fold:
    return Fold(name="test", test=("nobody",), train=tuple(sorted({u.speaker for u in utterances})))


def split(utterances: list[Utterance], spec: str, validation: str = "none", seed: int = 0) -> list[SiteSplit]:
    return split_sites(utterances, everyone(utterances), spec, validation, seed)


def test_a_number_of_sites_deals_round_robin_by_gender() -> None:
    assert split(crowd(6), "4") == [
        SiteSplit(name="site-0", train=("00", "03")),
        SiteSplit(name="site-1", train=("02", "05")),
        SiteSplit(name="site-2", train=("04",)),
        SiteSplit(name="site-3", train=("01",)),
    ]


def test_held_out_speakers_are_at_no_site() -> None:
    people = crowd(10)
    [fold] = held_out(people, "kfold:5:0")
    sites = split_sites(people, fold, "4", "one", 0)
    assert sorted(s for site in sites for s in (*site.train, *site.validation)) == list(fold.train)
    assert all(site.test == () for site in sites)


def test_sites_named_after_what_they_hold() -> None:
    people = crowd(6)
    assert {site.name: site.train for site in split(people, "column")} == {
        "clinic-0": ("00", "02", "04"),
        "clinic-1": ("01", "03", "05"),
    }
    assert {site.name: site.train for site in split(people, "session")} == {
        "0": ("00", "03"),
        "1": ("01", "04"),
        "2": ("02", "05"),
    }
    assert [(site.name, site.train) for site in split(people, "speaker")] == [(f"0{i}", (f"0{i}",)) for i in range(6)]


def test_a_speaker_at_two_sites_is_refused() -> None:
    straddling = [utterance("a", site="x", session="1"), utterance("a", site="y", session="2"), utterance("b")]
    with pytest.raises(SplitError, match="--sites column: speaker a is at both x and y"):
        split(straddling, "column")
    with pytest.raises(SplitError, match="--sites session: speaker a is at both 1 and 2"):
        split(straddling, "session")


def test_a_recording_without_site_or_session_is_refused() -> None:
    for spec, column in (("column", "site"), ("session", "session")):
        with pytest.raises(SplitError, match=rf"speaker a has a recording without a {column} \(x.wav\)"):
            split([utterance("a", "x.wav")], spec)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "0",
        "-1",
        "1.5",
        "sites",
        "speaker:2",
        "dirichlet",
        "dirichlet:2",
        "dirichlet:2:",
        "dirichlet:2:0",
        "dirichlet:2:-1",
        "dirichlet:2:nan",
        "dirichlet:2:inf",
        "dirichlet:2:1e308",
        "dirichlet:0:1",
        "dirichlet:2:1:1",
    ],
)
def test_specifications_that_cannot_be_read(spec: str) -> None:
    with pytest.raises(UsageError, match=r"^--sites ") as refused:
        split(crowd(6), spec)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("spec", ["7", "dirichlet:7:1"])
def test_more_sites_than_speakers_are_refused(spec: str) -> None:
    with pytest.raises(SplitError, match="7 sites need at least 7 training speakers, there are 6"):
        split(crowd(6), spec)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.data())
def test_every_speaker_is_at_one_site_and_every_site_has_one(size: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, size))
    alpha = data.draw(st.floats(1e-6, 1e6))
    seed = data.draw(st.integers(0, 2**31 - 1))
    validation = data.draw(st.sampled_from(["none", "one", "0.25", "0.99"]))
    people = crowd(size)
    for spec in (str(n), f"dirichlet:{n}:{alpha}", "session", "column", "speaker"):
        sites = split(people, spec, validation, seed)
        dealt = [speaker for site in sites for speaker in (*site.train, *site.validation)]
        assert sorted(dealt) == [u.speaker for u in people]
        assert all(site.train for site in sites)
        assert [site.name for site in sites] == sorted({site.name for site in sites})
        assert split(people[::-1], spec, validation, seed) == sites


def test_dirichlet_shares_follow_alpha_and_the_seed() -> None:
    people = crowd(40)

    def sizes(alpha: str, seed: int) -> list[int]:
        return sorted(len(site.train) for site in split(people, f"dirichlet:4:{alpha}", seed=seed))

    assert sizes("1e6", 0) == [10, 10, 10, 10]
    assert sizes("0.001", 0) == [1, 1, 1, 37]
    by_seed = [split(people, "dirichlet:4:1", seed=seed) for seed in (0, 0, 1)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    assert {site.name for site in by_seed[0]} == {"site-0", "site-1", "site-2", "site-3"}


@pytest.mark.parametrize(
    ("speakers", "validation", "expected"),
    [
        (3, "one", 0),
        (3, "0.5", 0),
        (4, "one", 1),
        (9, "one", 1),
        (4, "none", 0),
        (4, "0.05", 1),
        (10, "0.3", 3),
        (4, "0.99", 3),
    ],
)
def test_how_many_validate(speakers: int, validation: str, expected: int) -> None:
    [site] = split(crowd(speakers), "1", validation)
    assert len(site.validation) == expected
    assert len(site.train) == speakers - expected


@pytest.mark.parametrize("validation", ["", "0", "1", "1.0", "-0.1", "nan", "inf", "two", "None"])
def test_validation_that_cannot_be_read(validation: str) -> None:
    for people in (crowd(2), crowd(8)):  # whether or not a site has enough speakers
        with pytest.raises(UsageError, match=r"^--validation is .*, expected a share between 0 and 1, one, or none$"):
            split(people, "1", validation)


def test_validation_speakers_are_drawn_by_seed_and_site() -> None:
    drawn = [split(crowd(40), "2", "one", seed) for seed in range(20)]
    assert drawn[3] == split(crowd(40), "2", "one", 3)
    for site in (0, 1):
        assert len({sites[site].validation for sites in drawn}) > 5
    # Two sites draw on their own: they don't always set aside the same places of their lists.
    places = [[sorted(s.train + s.validation).index(s.validation[0]) for s in sites] for sites in drawn]
    assert sum(first == second for first, second in places) < 10


def test_sites_hold_their_own_test_speakers() -> None:
    people = [
        *crowd(4),
        *(utterance(f"t{i}", site=site, split="test") for i, site in enumerate(["clinic-1", None, "x"])),
    ]
    [fold] = held_out(people, "split")
    sites = split_sites(people, fold, "column", "none", 0)
    assert [(site.name, site.test) for site in sites] == [("clinic-0", ()), ("clinic-1", ("t0",))]
    assert all(site.test == () for site in split_sites(people, fold, "2", "none", 0))


def test_a_test_speaker_at_two_sites_is_refused() -> None:
    people = [*crowd(4), utterance("t", site="clinic-0", split="test"), utterance("t", site="clinic-1", split="test")]
    [fold] = held_out(people, "split")
    with pytest.raises(SplitError, match="--sites column: speaker t is at both clinic-0 and clinic-1"):
        split_sites(people, fold, "column", "none", 0)
