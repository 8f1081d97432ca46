from __future__ import annotations

import subprocess
import sys

from common.config.settings import HOLDS_ALL, STRATEGIES
from common.strategies.available import CATALOGUE


def test_the_settings_know_the_strategies_of_the_catalogue() -> None:
    assert set(STRATEGIES) == set(CATALOGUE)
    assert set(HOLDS_ALL) == {"fedmedian", "fedtrimmedavg", "krum", "multikrum"}


def test_what_travels_up_is_averaged_so_its_strategy_holds_no_update() -> None:
    assert not [strategy.name for strategy in CATALOGUE.values() if strategy.up and strategy.holds_all]


def test_to_list_them_nothing_heavy_is_imported() -> None:
    code = "import sys, common.config.settings; print(sorted({'numpy', 'torch', 'flwr'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
