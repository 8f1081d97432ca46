from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.federation import Federation, federation


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """One federation for all these tests: each leaves it as it found it."""
    with federation(tmp_path_factory.mktemp("federation")) as running:
        yield running
