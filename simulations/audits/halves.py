"""Halves at random: who is in a federation's training data, and whom an attacker knows."""

from __future__ import annotations

from collections.abc import Sequence

from common.seeds import numpy_generator


def halves(groups: Sequence[Sequence[str]], *names: object) -> tuple[list[str], list[str]]:
    """Deal members into two halves, each with half of every group, give or take one member.

    Args:
        groups: e.g. the recordings of each speaker.
        names: of the purpose, as in ``common.seeds``: public, for who is in is what an attack is scored against.
    """
    rng = numpy_generator(*names)
    shuffled = [groups[i] for i in rng.permutation(len(groups))]
    dealt = [group[i] for group in shuffled for i in rng.permutation(len(group))]
    first = int(rng.integers(2))
    return dealt[first::2], dealt[1 - first :: 2]
