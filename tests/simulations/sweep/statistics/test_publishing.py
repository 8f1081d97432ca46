"""What all models of a benchmark tell: counted by hand on three folds of twelve people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.config.units import SITE, SPEAKER, UTTERANCE
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.privacy.accounting.calibration import calibrate
from simulations.sweep.statistics.publishing import all_models, publishing
from simulations.sweep.statistics.series import Benchmark, read
from tests.simulations.sweep import example_benchmark


def benchmark(tmp_path: Path, *conditions: str, **more: Any) -> Benchmark:
    return read(example_benchmark.write(tmp_path, skill=dict.fromkeys(conditions, 0.5), **more))


def of_all(*noises: tuple[float, int]) -> Any:
    """Models of 200 steps at a rate of a quarter: noise, and how many have it."""
    spends = [Spend(unit="", sample_rate=0.25, noise_multiplier=noise, steps=200 * many) for noise, many in noises]
    return pytest.approx(epsilon_rdp(spends, 1e-5), rel=1e-9)


def test_each_fold_that_a_person_trains_counts_with_its_baselines(tmp_path: Path) -> None:
    """Two of three folds, each with the pooled model and that of a site; noise of 3 / ε."""
    own = all_models(benchmark(tmp_path, "inf", "utterance:2"), UTTERANCE)
    assert (own.epsilon, own.models) == (of_all((1.5, 6)), 6)


def test_seeds_and_strategies_count_and_baselines_once_for_the_strategies_that_share_them(tmp_path: Path) -> None:
    own = all_models(benchmark(tmp_path, "utterance:2", seeds=(0, 1), strategies=("fedavg", "fedprox")), UTTERANCE)
    assert (own.epsilon, own.models) == (of_all((1.5, 2 * (2 * 2 + 4))), 16)


def test_what_hides_a_larger_unit_tells_of_a_smaller_one_with_half_the_noise(tmp_path: Path) -> None:
    """The unit ``site`` has no baselines."""
    found = benchmark(tmp_path, "inf", "utterance:2", "speaker:1", "site:1")
    assert all_models(found, UTTERANCE).epsilon == of_all((1.5, 6), (1.5, 6), (1.5, 2))
    assert all_models(found, SPEAKER).epsilon == of_all((3.0, 6), (1.5, 2))
    assert all_models(found, SITE).epsilon == of_all((3.0, 2))


def test_candidates_count(tmp_path: Path) -> None:
    found = benchmark(tmp_path, "utterance:2")
    for row in found.rows:
        row["details"]["tuning"] = [{}, {}, {}]
    assert all_models(found, UTTERANCE).models == 2 * (1 + 3 + 2)


def test_a_pooled_model_has_the_sample_of_all_sites(tmp_path: Path) -> None:
    found = benchmark(tmp_path, "utterance:2")
    for row in found.rows:
        row["config"] |= {"privacy.sample_rate": 0.0, "training.batch_size": 240, "federation.rounds": 5}
    own = all_models(found, UTTERANCE)
    pooled = calibrate(2.0, 1e-5, 0.25, 40)  # 240 of 960 a step, 5 rounds of two epochs
    spends = [Spend(unit="", sample_rate=0.25, noise_multiplier=1.5, steps=4 * 200)]
    spends += [Spend(unit="", sample_rate=0.25, noise_multiplier=pooled, steps=2 * 40)]
    assert own.epsilon == pytest.approx(epsilon_rdp(spends, 1e-5), rel=1e-9)
    assert own.models == 6


def test_the_page_says_it_in_one_line(tmp_path: Path) -> None:
    words = publishing(benchmark(tmp_path / "a", "inf", "utterance:2", "speaker:1"))
    assert words is not None
    assert "\n" not in words
    assert "of one recording, which is in the data of 12 of them, and at most ε" in words
    assert "of one speaker, which is in the data of 6 of them (RDP); the models without privacy no ε bounds." in words
    assert publishing(benchmark(tmp_path / "b", "inf")) is None
    assert "without privacy" not in (publishing(benchmark(tmp_path / "c", "utterance:2")) or "without privacy")
