"""A speaker's sums in a file: exact, its owner's alone, and refused where they are not what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.config.settings import FeatureConfig
from common.data.normalise import Scaling, Sums
from common.data.speaker_profile import fitting, keep_profile, read_profile
from common.errors import FedserError, UsageError

PRIOR = Scaling(mean=torch.tensor([1.0, 2.0]), deviation=torch.tensor([1.0, 2.0]), weight=10.0)
MODEL = fitting(FeatureConfig(), PRIOR)
HEARD = Sums(
    frames=3,
    total=torch.tensor([0.1, -7.25], dtype=torch.float64),
    square=torch.tensor([1 / 3, 40.0], dtype=torch.float64),
)


def refuse(line: str) -> None:
    raise AssertionError(line)


def read(path: Path, model: str = MODEL) -> Sums:
    return read_profile(path, model, Sums.none(2), refuse)


def same(one: Sums, other: Sums) -> bool:
    return one.frames == other.frames and torch.equal(one.total, other.total) and torch.equal(one.square, other.square)


FEATURES = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FEATURES, FEATURES), max_size=8))
def test_what_is_read_is_what_was_kept_to_the_bit(tmp_path: Path, rows: list[tuple[float, float]]) -> None:
    every = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)
    heard = Sums(frames=len(rows), total=every.sum(0), square=every.square().sum(0))
    keep_profile(tmp_path / "p.json", heard, MODEL)
    assert same(read(tmp_path / "p.json"), heard)


def test_where_there_is_none_nothing_was_heard(tmp_path: Path) -> None:
    assert same(read(tmp_path / "none.json"), Sums.none(2))


def test_no_more_is_kept_than_is_read(tmp_path: Path) -> None:
    keep_profile(tmp_path / "p.json", replace(HEARD, recordings=2, matrices=1), MODEL)
    kept = json.loads((tmp_path / "p.json").read_text())
    assert set(kept) == {"format", "about", "model", "frames", "total", "square"}


def test_through_a_link_the_file_is_written_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "safe" / "ann.json", tmp_path / "p.json"
    link.symlink_to(Path("safe") / "ann.json")  # to nothing yet
    assert same(read(link), Sums.none(2))
    for heard in (HEARD, Sums.added([HEARD, HEARD])):
        keep_profile(link, heard, MODEL)
        assert link.readlink() == Path("safe") / "ann.json"
        assert same(read(target), heard)
        assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.rglob("*")) == sorted([link, target, target.parent])


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").symlink_to("p.json")
    with pytest.raises(UsageError, match=r"p\.json cannot be read: too many levels of symbolic links$"):
        read(tmp_path / "p.json")


def test_what_could_not_be_read_again_is_not_kept(tmp_path: Path) -> None:
    huge = Sums(frames=1, total=torch.tensor([2e6, 0.0]).double(), square=torch.tensor([4e12, 0.0]).double())
    with pytest.raises(
        UsageError, match=r"p\.json: features larger than 1e\+06 were heard; scale these matrices first$"
    ):
        keep_profile(tmp_path / "p.json", huge, MODEL)
    assert list(tmp_path.iterdir()) == []


def test_it_is_its_owners_alone_and_one_that_is_not_is_named_and_mended(tmp_path: Path) -> None:
    path, lines = tmp_path / "new" / "p.json", list[str]()
    keep_profile(path, HEARD, MODEL)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert same(read_profile(path, MODEL, Sums.none(2), lines.append), HEARD)
    told = "others may open this profile (mode 644), and it is personal data; it is written again with mode 600"
    assert lines == [told]
    keep_profile(path, HEARD, MODEL)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_of_another_model_it_is_refused(tmp_path: Path) -> None:
    keep_profile(tmp_path / "p.json", HEARD, MODEL)
    others = {
        fitting(replace(FeatureConfig(), hop=20), PRIOR),
        fitting(FeatureConfig(), replace(PRIOR, weight=11.0)),
        fitting(FeatureConfig(), replace(PRIOR, mean=PRIOR.mean + 1e-6)),
        fitting(FeatureConfig(), replace(PRIOR, deviation=PRIOR.deviation * 2)),
    }
    assert len({MODEL, *others}) == 5
    for other in others:
        with pytest.raises(UsageError, match=r"p\.json: it is of another model; give each model a file of its own$"):
            read(tmp_path / "p.json", other)


def test_a_truncated_one_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    keep_profile(path, HEARD, MODEL)
    content = path.read_bytes().rstrip()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UsageError, match="not a profile that fedser wrote, or broken; put a copy back, or delete"):
            read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": -1},
        {"frames": 1.5},
        {"frames": True},
        {"frames": 1 << 60},
        {"frames": None},
        {"frames": 0},
        {"frames": 1},  # its mean square would be less than its squared mean
        {"frames": 0, "total": [0.0, 1e-3], "square": [0.0, 0.0]},
        {"frames": 0, "total": [0.0, 0.0], "square": [0.0, 1e-3]},
        {"total": [1e300, 0.0]},
        {"total": [1.01, 0.0]},  # at most 1, for three frames with a third as their sum of squares
        {"square": [1e60, 1e60]},
        {"square": [3.01e12, 40.0]},
        {"total": [0.1]},
        {"total": [0.1, 1e999]},
        {"total": [0.1, float("nan")]},
        {"total": {"0": 0.1, "1": 0.2}},
        {"total": [0.1, "7"]},
        {"square": [-1.0, 1.0]},
        {"square": 3},
    ],
)
def test_what_cannot_be_sums_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "p.json"
    keep_profile(path, HEARD, MODEL)
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(UsageError, match="not a profile that fedser wrote, or broken"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"--profile .*p\.json: not a profile that fedser wrote, or broken"):
        read(tmp_path / "p.json")


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"format": 2}')
    with pytest.raises(UsageError, match="made by another version of fedser; delete it to begin anew"):
        read(tmp_path / "p.json")


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: is a directory$"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be read: not a directory$"):
        read(tmp_path / "file" / "p.json")
    with pytest.raises(FedserError, match="cannot be written"):
        keep_profile(tmp_path / "file" / "p.json", HEARD, MODEL)
