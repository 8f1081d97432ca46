from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import torch
from markupsafe import Markup

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet_flower() -> None:
    logging.getLogger("flwr").setLevel(logging.ERROR)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands set up logging for their process; here many share one."""
    loggers = [logging.getLogger(name) for name in (None, "fedser", "fedser.client", "flwr")]
    before = [(log, log.level, log.propagate, list(log.handlers)) for log in loggers]
    yield
    for log, level, propagate, handlers in before:
        log.level, log.propagate, log.handlers = level, propagate, handlers
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with nothing where a drawing would stand, which takes as long as a small model to train."""
    from server.reporting.drawing import Illustration  # and with it matplotlib

    monkeypatch.setattr(Illustration, "inline", _nothing)


def _nothing(own: object) -> Markup:
    return Markup("<svg></svg>")
