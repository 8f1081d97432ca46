"""Which model a run keeps: that of the best round on validation speakers, or, without them, the last rounds' mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.config.settings import Config
from server.run.checkpoint import State

SMOOTHED = 5  # rounds whose validation UAR is averaged before one is chosen


def choose(state: State, number: int, validation: dict[str, Any] | None) -> None:
    """Keep the model with the highest validation UAR, the mean over it and the rounds before; of equals the later.

    One round's UAR on a few speakers is luck: between late rounds it differs more by chance than in truth.

    Args:
        state: after the round; its history is that of the rounds before.
        number: of the round.
        validation: its figures; None where there are none.
    """
    if validation is None:
        return
    known = [entry["validation"]["uar"] for entry in state.history if entry["validation"]] + [validation["uar"]]
    smooth = [float(np.mean(known[max(0, i - SMOOTHED + 1) : i + 1])) for i in range(len(known))]
    if smooth[-1] >= max(smooth):
        state.best, state.best_round = state.arrays, number


def average(config: Config, state: State, number: int) -> None:
    """Where ``privacy.average`` says so, the last rounds' mean is the model: less noise for nothing.

    Args:
        config: of the run.
        state: after the round.
        number: of the round.
    """
    first = config.federation.rounds - round(config.privacy.average * config.federation.rounds)
    if number <= first or not config.privacy.average:
        return
    count = number - first
    state.best = {
        name: value if count == 1 else (state.best[name] + (value - state.best[name]) / count).astype(value.dtype)
        for name, value in state.arrays.items()
    }
    state.best_round = number
