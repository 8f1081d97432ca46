"""What every node is told of a run, as Flower's run config: the settings, flat, and where things lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from common.config.settings import Config, Scalar
from common.protocol import CACHE, EVENTS, LEDGER, OUT, PLAN, RUN_KEYS


def build_run_config(
    settings: Mapping[str, Scalar], *, out: Path, events: Path, cache: Path, ledger: Path
) -> dict[str, Scalar]:
    """A run config.

    Args:
        settings: as ``common.config.settings.flatten`` gives them.
        out: the folder of the fold; its plan lies in it.
        events: the file that gets a line a round.
        cache: the folder of features.
        ledger: the folder of ledgers.
    """
    places = {PLAN: out / "plan.json", OUT: out, EVENTS: events, CACHE: cache, LEDGER: ledger}
    return {**settings, **{name: str(path) for name, path in places.items()}}


def parse_run_config(run_config: Mapping[str, object]) -> Config:
    """The settings in a run config, less what only says where things lie.

    Raises:
        UsageError: one is unknown, or of a wrong type or range.
    """
    return Config().with_values({name: value for name, value in run_config.items() if name not in RUN_KEYS})
