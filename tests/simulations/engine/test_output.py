from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from common.config.settings import Config
from common.errors import FederationError
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from simulations.engine.fold import settle
from simulations.engine.output import slug


def test_two_names_never_share_a_folder() -> None:
    names = ["a b", "a-b", "a:b", "a/b", "=a-b", "a%20b", "kfold:5:0", "kfold-5-0", "ä", "..", "."]
    names += ["x" * 200, "x" * 201, "医" * 28, "医" * 29, "wynik\udcb3", "wynik\udcb4"]
    for a, b in itertools.combinations(names, 2):
        assert slug(a) != slug(b)
    assert slug("kfold:5:0") == "kfold-5-0"
    assert max(len(slug(name)) for name in names) <= 151
    assert not any("/" in slug(name) or slug(name).startswith(".") for name in names)


def test_a_corpus_that_changed_is_not_split_anew_on_resuming(tmp_path: Path) -> None:
    plan = Plan(fold="kfold:2:0", classes=("a", "b"), test=("1",), sites=(SiteSplit(name="site-0", train=("2", "3")),))
    settle(Config(), plan, tmp_path)
    settle(Config(), plan, tmp_path)
    other = Plan(fold="kfold:2:0", classes=("a", "b"), test=("2",), sites=(SiteSplit(name="site-0", train=("1", "3")),))
    with pytest.raises(FederationError, match="the corpus has changed since the run was started"):
        settle(Config(), other, tmp_path)
