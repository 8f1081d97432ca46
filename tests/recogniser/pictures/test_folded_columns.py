import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recogniser.pictures import folded_columns
from recogniser.pictures.folded_columns import FoldedColumns


@settings(max_examples=30)
@given(st.lists(st.integers(0, 60), max_size=12), st.sampled_from([np.min, np.max, np.mean]))
def test_columns_are_the_fold_of_their_rows(sizes: list[int], fold: np.ufunc) -> None:
    rows = np.random.default_rng(sum(sizes)).normal(size=(sum(sizes), 2)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded_columns, "MOST", 8)
        found = FoldedColumns(fold, 2)
        for part in np.split(rows, np.cumsum(sizes)[:-1] if sizes else []):
            found.add(part)
        assert len(found.columns) <= 16
    parts = [rows[first : first + found.span] for first in range(0, len(rows), found.span)]
    expected = np.array([fold(part, axis=0) for part in parts]).reshape(-1, 2)
    assert found.columns == pytest.approx(expected, abs=1e-6)
    assert len(rows) < 16 or len(expected) >= 8
