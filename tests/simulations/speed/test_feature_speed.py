import importlib.util

import pytest
import torch

from common.errors import UsageError
from simulations.speed.feature_speed import run

CONTENDERS = {"mfcc", "full", "mfcc_one_by_one", "full_one_by_one", "librosa_mfcc", "librosa_full"}


@pytest.mark.slow
def test_every_contender_is_timed_on_one_thread() -> None:
    before = torch.get_num_threads()
    report = run(seconds=6.0, repeats=2)
    assert torch.get_num_threads() == before
    assert report["audio_seconds"] == pytest.approx(6.0, abs=0.2)
    assert report["threads"] == 1
    contenders = CONTENDERS | ({"opensmile"} if importlib.util.find_spec("opensmile") else set())
    assert {name for name, value in report.items() if isinstance(value, dict)} == contenders | {"versions"}
    for name in contenders:
        assert report[name]["times_real_time"] >= report[name]["median_times_real_time"] > 1


@pytest.mark.parametrize("arguments", [{"seconds": 0.0}, {"repeats": 0}])
def test_nothing_to_time_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        run(**arguments)  # type: ignore[arg-type]
