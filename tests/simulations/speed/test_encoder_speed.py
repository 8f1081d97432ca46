from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.encoders.opening import describe_encoder
from common.errors import UsageError
from simulations.speed.encoder_speed import run
from tests.common.encoders.hub_folders import SMALL, a_model, save, whisper


@pytest.mark.slow
def test_a_whisper_is_timed_beside_transformers_on_one_thread(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    folder = whisper(tmp_path)[0]
    report = run(folder, layer=2, seconds=1.0, repeats=2)
    assert torch.get_num_threads() == before
    assert (report["layer"], report["threads"], report["kind"]) == (2, 1, "whisper")
    assert report["sha256"] == describe_encoder(folder).sha256
    for name in ("encoder", "encoder_all_layers", "transformers", "transformers_unpadded"):
        assert 0 < report[name]["ms_per_second"] <= report[name]["median_ms_per_second"]
    ratio = report["transformers"]["ms_per_second"] / report["encoder"]["ms_per_second"]
    assert report["times_transformers"] == pytest.approx(ratio, abs=0.01)
    assert report["frames_mb_per_second"] == pytest.approx(4 * 32 * 50 / 1e6, abs=1e-3)


def test_another_family_goes_through_all_its_layers(tmp_path: Path) -> None:
    report = run(save(a_model("Hubert", **SMALL), tmp_path), seconds=0.5, repeats=1)
    assert report["layer"] == 3
    assert report["transformers"]["ms_per_second"] > 0


@pytest.mark.parametrize("layer", [0, 4])
def test_there_is_no_such_layer(tmp_path: Path, layer: int) -> None:
    with pytest.raises(UsageError, match=f"--layer is {layer}, expected 1 to 3"):
        run(whisper(tmp_path)[0], layer=layer)
