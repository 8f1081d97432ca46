"""Ticks of a time axis that people read: 10 s, 1:30, 2:15:00."""

from __future__ import annotations

from collections.abc import Sequence

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)


def ticks(seconds: float, most: int) -> list[float]:
    """Where they stand: as many as there is room for, from 0 on.

    Args:
        seconds: the axis's length.
        most: how many there is room for.
    """
    step = next((step for step in _STEPS if seconds / step <= most), _STEPS[-1])
    return [round(number * step, 1) for number in range(int(seconds / step + 1e-9) + 1)]


def labels(places: Sequence[float]) -> list[str]:
    """What they say, all in the form that the last needs."""
    longest = max(places, default=0)
    return [_label(seconds, longest) for seconds in places]


def _label(seconds: float, longest: float) -> str:
    if longest < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    if longest < 3600:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
