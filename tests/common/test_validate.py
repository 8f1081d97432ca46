import math

import pytest

from common.errors import FedserError, UsageError
from common.validate import in_range, one_of, positive


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_positive_refuses(value: float) -> None:
    with pytest.raises(UsageError, match=rf"^rate is {value}, expected a number above 0$"):
        positive("rate", value)


def test_positive_accepts_the_smallest() -> None:
    positive("rate", 5e-324)


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf])
def test_in_range_refuses(value: float) -> None:
    with pytest.raises(UsageError, match=rf"^share is {value}, expected 0 to 1$"):
        in_range("share", value, 0, 1)


def test_in_range_has_its_ends() -> None:
    in_range("share", 0, 0, 1)
    in_range("share", 1, 0, 1)


def test_one_of_names_the_choices_and_the_nearest() -> None:
    one_of("--corpus", "emodb", ("emodb", "ravdess"))
    with pytest.raises(UsageError, match=r"^--corpus is 'emdb', expected one of emodb, ravdess; did you mean emodb\?$"):
        one_of("--corpus", "emdb", ("emodb", "ravdess"))
    with pytest.raises(UsageError, match=r"expected one of emodb$"):
        one_of("--corpus", "xyz", iter(("emodb",)))


def test_a_usage_error_exits_with_2() -> None:
    assert (UsageError("x").exit_code, FedserError("x").exit_code) == (2, 1)
