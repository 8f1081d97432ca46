from __future__ import annotations

import pytest
import torch

from common.config.settings import Config, FeatureConfig
from common.errors import UsageError
from common.features.extractor import dimension, names
from common.models.crnn3d import planes
from tests.common.models.kinds import config_of, model_of


@pytest.mark.parametrize("windows", [(25,), (20, 40)])
def test_the_image_is_of_the_levels_their_first_and_their_second_derivative(windows: tuple[int, ...]) -> None:
    layout = FeatureConfig(mfcc=2, log_mel=4, deltas=2, stack=3, windows=windows)
    stack, where = planes(dimension(layout), layout)
    single = names(FeatureConfig(mfcc=2, log_mel=4, deltas=2, stack=1, windows=windows))
    assert stack == 3
    assert where.shape == (3 * len(windows), 4)
    assert [single[i] for i in where[0]] == [f"log_mel_{band}@{windows[0]}" for band in range(4)]
    colours = [single[row[0]] for row in where]
    assert colours == [f"{order}log_mel_0@{window}" for order in ("", "delta_", "delta2_") for window in windows]


def test_a_sites_own_matrix_is_an_image_of_one_colour() -> None:
    stack, where = planes(7, FeatureConfig(log_mel=4, deltas=2))
    assert (stack, where.tolist()) == (1, [list(range(7))])


@pytest.mark.parametrize("stack", [1, 2, 3, 5])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_a_row_of_joined_frames_comes_to_one_frame(stack: int, bands: int) -> None:
    config = config_of("crnn3d", features__stack=stack, features__log_mel=bands)
    logits = model_of(config)(torch.randn(2, 4, dimension(config.features)), torch.tensor([4, 2]))
    assert torch.isfinite(logits).all()


def test_each_joined_frame_is_seen_in_its_place() -> None:
    config = config_of("crnn3d", features__stack=2, features__pitch=False)
    emotion, single = model_of(config).eval(), dimension(config.features) // 2
    frames, lengths = torch.randn(1, 3, 2 * single), torch.tensor([3])
    swapped = torch.cat([frames[..., single:], frames[..., :single]], dim=2)
    assert not torch.allclose(emotion(frames, lengths), emotion(swapped, lengths), atol=1e-5)


def test_the_kind_brings_the_features_that_it_reads() -> None:
    config = Config().with_values({"model.kind": "crnn3d"})
    assert (config.features.log_mel, config.features.deltas, config.features.mfcc) == (40, 2, 0)
    assert (config.model.dropout, config.federation) == (0.3, Config().federation)
    chosen = Config().with_values({"model.kind": "crnn3d", "features.log_mel": 24, "features.mfcc": 40})
    assert (chosen.features.log_mel, chosen.features.mfcc) == (24, 40)
    before = Config().with_values({"features.log_mel": 24})
    assert before.with_values({"model.kind": "crnn3d"}).features.log_mel == 24


@pytest.mark.parametrize("lacking", [{"features.log_mel": 0}, {"features.deltas": 1}])
def test_without_the_features_that_it_reads_one_line_names_them(lacking: dict[str, int]) -> None:
    told = r"crnn3d, which reads .*; set features.log_mel \(it is .*\), as 40, and features.deltas = 2 \(it is"
    with pytest.raises(UsageError, match=told):
        Config().with_values({"model.kind": "crnn3d", "features.mfcc": 40, **lacking})
