"""Two weeks of made-up logs: what broke is named with its day, and nothing is where nothing did."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.cli.main import join_rings, run
from common.errors import UsageError
from recogniser.monitoring.alarms import alarms
from recogniser.monitoring.daily_figures import by_day
from recogniser.monitoring.gauges import gauges
from recogniser.monitoring.segment_log import SegmentLog, read_logs

CLASSES = ["anger", "happiness", "neutral", "sad, low"]
Counts = Mapping[str, tuple[int, int]]
FIRST = date(2026, 11, 1)

join_rings()


def write(
    folder: Path,
    *,
    broken: str | None = None,
    drifts: bool = False,
    held_out: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """14 days of 80 segments, recall 0.8; from the tenth on a class's is half of it, or the sound drifts."""
    generator = np.random.default_rng(0)
    days = iter(np.repeat(range(14), 80).tolist())
    log = SegmentLog(
        folder=folder / "logs",
        model="0" * 64,
        classes=CLASSES,
        held_out=held_out or {},
        today=lambda: FIRST + timedelta(days=now),
    )
    lines = ["id,emotion"]
    for now in days:
        true = int(generator.integers(4))
        recall = 0.4 if CLASSES[true] == broken and now >= 9 else 0.8
        said = true if generator.random() < recall else (true + int(generator.integers(1, 4))) % 4
        scores = {name: 0.7 if number == said else 0.1 for number, name in enumerate(CLASSES)}
        drift = abs(generator.normal(1.2 if drifts and now >= 9 else 0.8, 0.1))
        lines.append(f'{log.add(scores, drift)},"{CLASSES[true]}"')
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return folder / "logs"


def told(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    code = run(["monitor", str(folder), "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_a_class_that_broke_is_named_with_its_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, labels = write(tmp_path, broken="sad, low"), str(tmp_path / "labels.csv")
    code, found = told(folder, capsys, "--labels", labels)
    assert code == 1
    first = found["alarms"][0]
    assert (first["day"], first["kind"], first["class"]) == ("2026-11-10", "recall", "sad, low")
    assert first["before"] == pytest.approx(0.8, abs=0.06)
    assert first["after"] == pytest.approx(0.4, abs=0.1)
    assert {alarm["class"] for alarm in found["alarms"] if alarm["kind"] == "recall"} == {"sad, low"}
    days = found["days"]
    assert [day["day"] for day in days] == [str(FIRST + timedelta(days=number)) for number in range(14)]
    assert sum(day["segments"] for day in days) == sum(day["accuracy"]["of"] for day in days) == 14 * 80
    for day in days:
        assert sum(share["share"] for share in day["share"].values()) == pytest.approx(1, abs=1e-3)
        for interval in (day["accuracy"], *day["recall"].values()):
            assert interval["low"] < interval["share"] < interval["high"] or interval["share"] in (0, 1)
    assert run(["monitor", str(folder), "--labels", labels]) == 1
    text = capsys.readouterr().out
    assert re.search(r"since 2026-11-10: recall of sad, low 0\.\d\d, 0\.\d\d before", text)
    assert len(text.splitlines()) == 1 + 14 + len(found["alarms"])
    # What came before is over: the days since are alike.
    assert told(folder, capsys, "--labels", labels, "--since", "2026-11-10")[0] == 0


def test_where_nothing_broke_there_is_no_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, held_out=dict.fromkeys(CLASSES, (80, 100)))
    code, found = told(folder, capsys, "--labels", str(tmp_path / "labels.csv"))
    assert (code, found["alarms"]) == (0, [])
    code, found = told(folder, capsys)
    assert (code, found["alarms"]) == (0, [])
    assert {day["accuracy"] for day in found["days"]} == {None}


def test_a_model_that_is_worse_than_its_card_from_the_first_day_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, held_out=dict.fromkeys(CLASSES, (388, 400)))
    code, found = told(folder, capsys, "--labels", str(tmp_path / "labels.csv"))
    assert code == 1
    assert {(alarm["day"], alarm["held_out"], alarm["before"]) for alarm in found["alarms"]} == {
        ("2026-11-01", True, 0.97)
    }
    assert [alarm["kind"] for alarm in found["alarms"]] == ["recall"] * 4 + ["accuracy"]


def test_sound_that_drifts_needs_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = told(write(tmp_path, drifts=True), capsys)
    assert code == 1
    assert [(alarm["day"], alarm["kind"]) for alarm in found["alarms"]] == [("2026-11-10", "drift")]


def test_the_log_holds_scores_alone(tmp_path: Path) -> None:
    log = SegmentLog(folder=tmp_path / "logs", model="0" * 64, classes=CLASSES, today=lambda: FIRST)
    ids = {log.add(dict.fromkeys(CLASSES, 0.25), 0.5) for _ in range(50)}
    assert len(ids) == 50
    path = tmp_path / "logs" / "2026-11-01.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    for line in filter(None, path.read_text().splitlines()):
        assert set(json.loads(line)) == {"id", "day", "scores", "drift"}
    path.write_bytes(path.read_bytes()[:-30])  # as a power cut leaves it
    log.add(dict.fromkeys(CLASSES, 0.25))
    found = read_logs(tmp_path / "logs")
    assert (len(found.segments), found.broken) == (50, 1)


def test_another_model_has_a_folder_of_its_own(tmp_path: Path) -> None:
    SegmentLog(folder=tmp_path, model="a", classes=CLASSES)
    SegmentLog(folder=tmp_path, model="a", classes=CLASSES)
    with pytest.raises(UsageError, match="holds the scores of another model"):
        SegmentLog(folder=tmp_path, model="b", classes=CLASSES)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("id,label\n1,anger\n", "has no column emotion; expected id,emotion"),
        ("id,emotion\n1,anger\n2,joy\n", "line 3: 'joy' is no class of the model; expected anger, happiness"),
        ("id,emotion\n1,anger\n1,neutral\n", "line 3: 1 is anger above and neutral here; keep one"),
    ],
)
def test_labels_that_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: str, said: str
) -> None:
    SegmentLog(folder=tmp_path, model="a", classes=CLASSES)
    (tmp_path / "labels.csv").write_text(labels)
    assert run(["monitor", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_a_log_and_labels_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["monitor", str(tmp_path)]) == 2
    assert "expected what fedser serve --monitor DIR writes" in capsys.readouterr().err
    SegmentLog(folder=tmp_path, model="a", classes=CLASSES).add(dict.fromkeys(CLASSES, 0.25))
    (tmp_path / "labels.csv").write_text("id,emotion\n1,anger\n")
    assert run(["monitor", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]) == 0
    assert "1 of 1 labels are of no segment here" in capsys.readouterr().err


def test_prometheus_has_the_last_day(tmp_path: Path) -> None:
    logs = read_logs(write(tmp_path, broken="anger"))
    days = by_day(logs.segments, {own.id: "anger" for own in logs.segments[-3:]}, logs.classes)
    lines = gauges(days, alarms(days, CLASSES, {})).splitlines()
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
    assert values["fedser_recogniser_monitor_segments"] == 80
    assert values["fedser_recogniser_monitor_confidence"] == pytest.approx(0.7)
    shares = [value for name, value in values.items() if name.startswith("fedser_recogniser_monitor_share{class=")]
    assert sum(shares) == pytest.approx(1)
    assert 'fedser_recogniser_monitor_recall{class="anger"}' in values
    assert 'fedser_recogniser_monitor_recall{class="neutral"}' not in values
    assert gauges([], []).splitlines()[-1] == "fedser_recogniser_monitor_alarms 0"


def test_a_damaged_folder_is_one_line_and_no_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SegmentLog(folder=tmp_path, model="m", classes=("anger", "neutral")).add({"anger": 0.4, "neutral": 0.6})
    (tmp_path / "2026-01-01.jsonl").mkdir()
    assert run(["monitor", str(tmp_path)]) == 2
    assert "2026-01-01.jsonl cannot be read: Is a directory" in capsys.readouterr().err
