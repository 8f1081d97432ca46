from __future__ import annotations

import logging
from typing import Any

import pytest

from common import protocol
from common.errors import FederationError
from server.sites.compatibility import SiteTraits, agree, unfit

CLASSES = ("anger", "neutral")


def terms(**more: Any) -> SiteTraits:
    own = {
        "protocol": protocol.VERSION,
        "release": "1",
        "classes": CLASSES,
        "missing": (),
        "features": 3,
        "labels": "x",
    }
    return SiteTraits(**{**own, **more})


def told(caplog: pytest.LogCaptureFixture, **sites: SiteTraits) -> list[str]:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        agree(sites, CLASSES, strict=False)
    return [record.getMessage() for record in caplog.records]


def test_sites_that_say_the_same_agree(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, a=terms(), b=terms()) == []


@pytest.mark.parametrize(("own", "runs"), [("ab" * 32, ""), ("", "ab" * 32), ("ab" * 32, "cd" * 32)])
def test_a_site_with_another_encoder_is_not_in_the_run(own: str, runs: str) -> None:
    line = f"it has the encoder {own[:16] or 'none'} in front of the model, the run has {runs[:16] or 'none'} (SHA-256)"
    assert unfit(terms(encoder=own), CLASSES, runs) == line
    assert unfit(terms(encoder=runs), CLASSES, runs) is None


def test_what_may_be_meant_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, a=terms(), b=terms(), c=terms(labels="y", release="2", missing=("anger",))) == [
        "the sites' releases differ: a and b 1, c 2",
        "c makes classes of other labels than a and b",
        "c has no recording of anger",
    ]


@pytest.mark.parametrize("odd", [{"labels": "y"}, {"release": "2"}, {"missing": ("neutral",)}])
def test_it_ends_a_strict_run(odd: dict[str, Any]) -> None:
    with pytest.raises(FederationError, match="--strict"):
        agree({"a": terms(), "b": terms(**odd)}, CLASSES, strict=True)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"protocol": 99}, "site b speaks protocol 99"),
        ({"classes": ("anger", "sadness")}, "site b has the classes"),
        ({"features": 4}, "the sites' features differ: a 3, b 4 a frame"),
    ],
)
def test_what_can_not_be_meant_ends_any_run(odd: dict[str, Any], words: str) -> None:
    with pytest.raises(FederationError, match=words):
        agree({"a": terms(), "b": terms(**odd)}, CLASSES, strict=False)


def test_a_class_that_nobody_has_ends_any_run() -> None:
    lacking = terms(missing=("anger",))
    with pytest.raises(FederationError, match="no site has a training recording of anger"):
        agree({"a": lacking, "b": lacking}, CLASSES, strict=False)
