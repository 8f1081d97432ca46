from __future__ import annotations

from simulations.audits.halves import halves

GROUPS = [["a0", "a1", "a2", "a3"], ["b0", "b1"], ["c0", "c1", "c2"]]


def test_each_group_is_halved() -> None:
    first, second = halves(GROUPS, 0)
    assert sorted([*first, *second]) == sorted(member for group in GROUPS for member in group)
    for group in GROUPS:
        assert abs(len(set(group) & set(first)) - len(set(group) & set(second))) <= 1
    assert abs(len(first) - len(second)) <= 1


def test_everyone_is_in_the_first_half_every_other_time() -> None:
    """Of 400 halvings, 200 times: 5 deviations are 50. Groups of one are dealt like any other."""
    groups = [*GROUPS, ["d"], ["e"]]
    first = [halves(groups, seed)[0] for seed in range(400)]
    for member in (member for group in groups for member in group):
        assert abs(sum(member in half for half in first) - 200) < 50
    together = sum(("d" in half) == ("e" in half) for half in first)
    assert 50 < together < 350


def test_the_same_names_give_the_same_halves() -> None:
    assert halves(GROUPS, 1, "x") == halves(GROUPS, 1, "x")
    assert any(halves(GROUPS, 1, "x") != halves(GROUPS, 1, name) for name in "yzw")
