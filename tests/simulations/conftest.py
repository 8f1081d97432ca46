from __future__ import annotations

import pytest
from markupsafe import Markup

from server.reporting.drawing import Illustration


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with nothing where a drawing would stand, which takes as long as so small a model to train."""
    monkeypatch.setattr(Illustration, "inline", lambda own: Markup("<svg></svg>"))
