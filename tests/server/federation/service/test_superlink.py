from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import FederationError
from server.federation.service import superlink
from tests.server.federation import coordinator


@pytest.mark.parametrize("key", ["", "t a", "ecdsa-sha2-nistp384 AAAA"])
def test_a_registry_s_key_that_is_none_is_named_and_ends_nothing(tmp_path: Path, key: str) -> None:
    control = superlink.Control(coordinator.make(tmp_path))
    with pytest.raises(FederationError, match=r"sites.json has for alpha what is no public key; let the site send"):
        control.register("alpha", key)
    control.close()
