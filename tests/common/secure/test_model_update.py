from __future__ import annotations

import numpy as np
import pytest

from common.errors import FederationError
from common.secure.model_update import moved, update_of

OLD = {"w": np.array([[1, 2], [3, 4]], np.float32), "b": np.array([0.5], np.float32)}
NEW = {"b": np.array([1.0], np.float32), "w": np.array([[1, 2], [3, 5]], np.float32)}


def test_an_update_is_how_far_each_weight_moved_in_the_order_of_names() -> None:
    found = update_of(NEW, OLD)
    assert found.tolist() == [0.5, 0, 0, 0, 1]
    assert found.dtype == np.float64


def test_a_model_moved_by_its_update_is_the_new_one() -> None:
    found = moved(OLD, update_of(NEW, OLD))
    assert list(found) == ["w", "b"]
    for name, array in NEW.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.float32


def test_updates_of_other_models_are_refused() -> None:
    with pytest.raises(FederationError, match="not those of the model that came in: c, w"):
        update_of({"c": OLD["w"], "b": OLD["b"]}, OLD)
    with pytest.raises(FederationError, match="a mean update has 4 entries, the model has 5"):
        moved(OLD, np.zeros(4))
