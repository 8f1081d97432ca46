from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.config.settings import Config
from common.data.extraction import Recording
from common.errors import FederationError, UsageError
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from simulations.engine.fold import settle
from simulations.engine.output import LOCK, hold, refuse_existing, relocate, settle_recordings, slug
from tests.common.examples import utterance


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


HOLDER = """
import os, sys, time
from pathlib import Path
from simulations.engine.output import hold
with hold(Path(sys.argv[1])):
    if not os.fork():
        time.sleep(30)  # a worker that has not noticed yet
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_program_s_until_that_has_ended_however_it_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, process_group=0
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="is in use by another fedser simulate"), hold(tmp_path):
            pass
        other.kill()
        other.wait()
        with hold(tmp_path):  # at once, although what it forked is still there
            assert (tmp_path / LOCK).exists()
        assert not (tmp_path / LOCK).exists()
        os.killpg(other.pid, 9)
    refuse_existing(tmp_path, overwrite=False)


def test_a_lock_that_a_killed_program_left_is_nothing_that_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    refuse_existing(tmp_path, overwrite=False)
    with hold(tmp_path):
        pass


def heard(*digests: str, emotion: str = "anger") -> list[Recording]:
    return [Recording(utterance=utterance(emotion=emotion), versions=(torch.zeros(1, 1),), digest=d) for d in digests]


def test_a_run_goes_on_with_the_recordings_that_it_was_started_with(tmp_path: Path) -> None:
    settle_recordings(tmp_path, heard("a", "b"))
    settle_recordings(tmp_path, heard("a", "b"))
    moved = [dataclasses.replace(r, utterance=utterance(name="/elsewhere/x.wav")) for r in heard("a", "b")]
    settle_recordings(tmp_path, moved)
    for other in (heard("a", "c"), heard("b", "a"), heard("a"), heard("a", "b", emotion="fear")):
        with pytest.raises(UsageError, match="not those that the run was started with"):
            settle_recordings(tmp_path, other)


def test_what_a_plan_skips_is_named_by_where_it_is_now(tmp_path: Path) -> None:
    site = SiteSplit(name="site-0", train=("2", "3"))
    skipped = ("/old/a.wav", "/old/b/c.wav#0-1", "/older/d.wav")
    plan = Plan(fold="kfold:2:0", classes=("a", "b"), test=("1",), sites=(site,), skipped=skipped)
    plan = dataclasses.replace(plan, kept_out=skipped[:1])
    folder = tmp_path / "folds" / "kfold-2-0"
    plan.write(folder / "plan.json")
    relocate(tmp_path, Path("/old"), Path("/new/place"))
    names = ("/new/place/a.wav", "/new/place/b/c.wav#0-1", "/older/d.wav")
    settle(Config(), dataclasses.replace(plan, skipped=names, kept_out=names[:1]), folder)
