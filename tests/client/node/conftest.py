from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from flwr.supercore.fab import Fab

from client.node.flower import guard
from tests.client.node.bundles import bundle

SETTINGS = """privacy.epsilon = "inf"
privacy.unit = "utterance"
data.normalise = "utterance"
data.validation = "none"
training.class_weights = false
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that waits for nobody."""
    for name in ("BUSY_POLL", "IDLE_POLL", "PAUSE_SECONDS", "HANDOVER_SECONDS"):
        monkeypatch.setattr(guard, name, 0.01)


@pytest.fixture
def fab(tmp_path: Path) -> Fab:
    """A bundle whose settings allow a private run."""
    content = bundle(tmp_path / "bundle", settings=SETTINGS)
    return Fab(hashlib.sha256(content).hexdigest(), content, {})
