import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.features import pitch
from recogniser.export.parity import session
from recogniser.graph.node_builder import NodeBuilder, floats_of, whole_numbers_of
from recogniser.graph.window_rows import bridged, scaled_by_itself, stacked

Floats = npt.NDArray[np.float32]


def rows_of(frames: Floats, lengths: list[int], stack: int) -> tuple[Floats, list[int]]:
    """What frames of two columns become, F0 first; and each window's rows."""
    builder = NodeBuilder()
    rows, many = stacked(builder, bridged(builder, "frames", "lengths", 0, 2), "lengths", stack, 2)
    outputs = {rows: floats_of("rows", "batch", "rows", 2 * stack), many: whole_numbers_of("many", "batch")}
    inputs = [floats_of("frames", "batch", "time", 2), whole_numbers_of("lengths", "batch")]
    run = session(builder.model(inputs, outputs)).run
    found, own = run(None, {"frames": frames, "lengths": np.array(lengths)})
    return found, own.tolist()


def test_frames_are_joined_and_the_last_fills_the_last_row() -> None:
    frames = np.array([[[1, 10], [2, 20], [3, 30], [4, 40]], [[5, 50], [6, 60], [9, 90], [9, 90]]], dtype=np.float32)
    rows, many = rows_of(frames, [4, 2], 3)
    assert many == [2, 1]
    assert rows[0].tolist() == [[1, 10, 2, 20, 3, 30], [4, 40, 4, 40, 4, 40]]
    assert rows[1, 0].tolist() == [5, 50, 6, 60, 6, 60]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.0, -0.01, 0.5, 1.0, 2.0]), min_size=1, max_size=12), min_size=1, max_size=4
    )
)
def test_f0_is_bridged_within_each_window(tracks: list[list[float]]) -> None:
    longest = max(map(len, tracks))
    frames = np.full((len(tracks), longest, 2), 1.5, dtype=np.float32)  # voiced beyond the ends, which nothing may see
    for own, track in zip(frames, tracks, strict=True):
        own[: len(track), 0] = track
    rows, _ = rows_of(frames, [len(track) for track in tracks], 1)
    for own, track in zip(rows, tracks, strict=True):
        wanted = pitch.bridge(torch.tensor(track)).numpy()
        np.testing.assert_allclose(own[: len(track), 0], wanted, atol=1e-6)
        assert (own[:, 1] == 1.5).all()


def test_by_itself_a_window_has_mean_0_and_deviation_1_and_what_is_constant_is_0() -> None:
    builder = NodeBuilder()
    scaled = {scaled_by_itself(builder, "rows"): floats_of("scaled", "batch", "rows", 2)}
    run = session(builder.model([floats_of("rows", "batch", "rows", 2)], scaled)).run
    rows = np.array([[[1000, 7], [1001, 7], [1002, 7], [1005, 7]]], dtype=np.float32)
    [[found]] = run(None, {"rows": rows})
    assert found[:, 1].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(found[:, 0], (np.array([1, 2, 3, 6]) - 3) / np.sqrt(3.5), rtol=1e-5)
