import dataclasses
import json
from pathlib import Path

import pytest

from common.errors import FedserError, SplitError
from common.splits.plan import Plan, read
from common.splits.sites import SiteSplit

PLAN = Plan(
    fold="kfold:5:0",
    classes=("anger", "sadness"),
    test=("09", "03"),
    sites=(
        SiteSplit(name="clinic-b", train=("08", "10"), validation=("11",)),
        SiteSplit(name="clinic-a", train=("16",), test=("é",)),
    ),
    skipped=("wav/a.wav#0-1.5",),
)


def test_a_plan_comes_back(tmp_path: Path) -> None:
    PLAN.write(tmp_path / "new" / "plan.json")
    assert read(tmp_path / "new" / "plan.json") == PLAN
    hash(PLAN)


def test_whose_recordings_do_what() -> None:
    assert PLAN.train_speakers == ["08", "10", "16"]
    assert PLAN.validation_speakers == ["11"]
    assert PLAN.test_speakers == ["03", "09", "é"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"fold": "x", "sites": [3]}', '{"sites": 3}', "\xff"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FedserError, match=r"plan.json is no plan of a fold \(\w+\); start the run anew") as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_what_is_kept_out_is_written_where_there_is_some(tmp_path: Path) -> None:
    own = dataclasses.replace(PLAN, kept_out=("a.wav",), skipped=("a.wav", "b.wav"))
    own.write(tmp_path / "plan.json")
    assert read(tmp_path / "plan.json") == own
    PLAN.write(tmp_path / "plan.json")
    assert "kept_out" not in json.loads((tmp_path / "plan.json").read_text())


def test_a_plan_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    PLAN.write(tmp_path / "plan.json")
    whole = json.loads((tmp_path / "plan.json").read_text())
    for name in whole:
        (tmp_path / "part.json").write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
        with pytest.raises(FedserError, match="is no plan"):
            read(tmp_path / "part.json")
    with pytest.raises(FedserError, match="is no plan"):
        read(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("site", "test", "parts"),
    [
        (SiteSplit(name="b", train=("1",)), ("1",), "train of b and in test"),
        (SiteSplit(name="b", train=("1",), test=("1",)), (), "train of b and in test"),
        (SiteSplit(name="b", train=("2",), validation=("1",)), ("1",), "validation of b and in test"),
        (SiteSplit(name="b", train=("1",), validation=("1",)), (), "train of b and in validation of b"),
        (SiteSplit(name="b", train=("0", "1")), (), "train of a and in train of b"),
    ],
)
def test_nobody_is_in_two_parts(site: SiteSplit, test: tuple[str, ...], parts: str, tmp_path: Path) -> None:
    """However a plan came about: a run on it would be scored on people whom it was trained on."""
    speaker = "0" if "train of a" in parts else "1"
    sites = (SiteSplit(name="a", train=("0",)), site)
    with pytest.raises(SplitError) as refused:
        Plan(fold="f", classes=("x", "y"), test=test, sites=sites)
    assert str(refused.value) == (
        f"fold f: speaker {speaker} is in {parts}, expected in one part alone; deal whole speakers"
    )
    PLAN.write(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text().replace('"09"', '"08"')
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(SplitError, match="fold kfold:5:0: speaker 08 is in train of clinic-b and in test"):
        read(tmp_path / "plan.json")
