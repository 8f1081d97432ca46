"""A batch names what is broken, does the rest, goes on where it was ended, and needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.cli.main import join_rings, run
from recogniser.listening.recording_result import RecordingResult
from recogniser.recordings.batch import tasks
from tests.recogniser.speech import RATE, talk

join_rings()

WITHOUT_TORCH = """
import sys
for name in ("torch", "flwr", "librosa", "silero_vad", "onnx"):
    sys.modules[name] = None
from common.cli.main import main
main()
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "a.wav", talk(0), RATE)
    soundfile.write(folder / "deep" / "a.flac", talk(0), RATE)
    content = (folder / "a.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[: len(content) // 2])
    (folder / "notes.txt").write_text("no recording")
    return folder


def test_a_batch(exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["recognise", str(recordings), "--model", str(exported), "--out", str(out), "--format", "csv"]
    assert run(command) == 1
    first = capsys.readouterr()
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.json")) == ["a.json", "cut.json", "deep/a.json"]
    assert len(list(out.rglob("*.csv"))) == 3
    assert "cut.wav: " in first.err
    assert "1 of 3 recordings" in first.err.splitlines()[-1]
    whole = RecordingResult.from_json((out / "a.json").read_text())
    assert len(whole.segments) == 2
    half = RecordingResult.from_json((out / "cut.json").read_text())
    assert [problem.kind for problem in half.problems] == ["truncated"]
    assert 0 < half.seconds < whole.seconds
    assert half.segments[0].end == whole.segments[0].end
    # Again: what is there is not done again, but what was broken is still said; what is new or lost is done.
    (out / "deep" / "a.json").write_text('{"path": "half a res')
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert run(command) == 1
    again = capsys.readouterr()
    assert [line.endswith("(done before)") for line in again.out.splitlines()] == [True, True, False]
    assert again.err == first.err
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"a.json"}
    assert (out / "a.json").stat().st_mtime_ns == times[out / "a.json"]
    assert RecordingResult.from_json((out / "deep" / "a.json").read_text()).segments
    # Other settings, another result.
    assert run([*command, "--adapt", "running"]) == 1
    assert "(done before)" not in capsys.readouterr().out
    assert RecordingResult.from_json((out / "a.json").read_text()).settings["adapt"] == "running"


def test_one_file_goes_to_standard_output_without_torch(exported: Path, recordings: Path) -> None:
    asked = ["recognise", str(recordings / "a.wav"), "--model", str(exported), "--leave", "0.5", "--adapt", "running"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *asked], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["path"] == str(recordings / "a.wav")
    assert [own["emotion"] is None for own in found["segments"]].count(True) == 1
    assert found["summary"]["unsure"] > 0
    listened = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "listen", "-", "--model", str(exported), "--json"],
        input=soundfile.read(recordings / "a.wav", dtype="int16")[0].tobytes(),
        capture_output=True,
        check=False,
    )
    assert (listened.returncode, listened.stderr) == (0, b"")
    events = [json.loads(line) for line in listened.stdout.splitlines()]
    segments = [own for own in events if own.pop("type") == "segment"]
    assert [(own["start"], own["end"], own["heard"]) for own in segments] == [
        (own["start"], own["end"], own["heard"]) for own in found["segments"]
    ]
    for own, other in zip(segments, found["segments"], strict=True):
        assert own["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_speakers_of_an_rttm(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    middle = len(talk(0)) / RATE / 2
    lines = [
        f"SPEAKER a 1 0 {middle} <NA> <NA> ann <NA> <NA>",
        f"SPEAKER a 1 {middle} 9 <NA> <NA> bob <NA> <NA>",
    ]
    (tmp_path / "x.rttm").write_text("\n".join(lines))
    asked = ["recognise", str(recordings / "a.wav"), "--model", str(exported), "--speakers", str(tmp_path / "x.rttm")]
    assert run(asked) == 0
    assert [own["speaker"] for own in json.loads(capsys.readouterr().out)["segments"]] == ["ann", "bob"]
    (tmp_path / "x.rttm").write_text("\n".join(lines).replace("SPEAKER a", "SPEAKER b"))
    assert run(asked) == 2
    assert "it tells of b, and not of a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--window", "20"], "--window 20: expected 0.5 to 10 seconds"),
        (["--adapt", "all"], "--adapt all: expected recording, running, none"),
        (["--vad", "loud"], "no speech gate 'loud'; expected silero, energy, none"),
        (["--format", "csv,json"], "--format csv,json without --out"),
        (["--channels", "left"], "--channels left: expected mixed or separate"),
        (["--unsure", "0.5", "--leave", "0.5"], "--unsure and --leave"),
        (["--speakers", "x.rttm", "--channels", "separate"], "give one"),
        (["--speakers", "none.rttm"], "cannot be read"),
        (["--model", "nowhere"], "expected the folder of a finished run or of an export"),
    ],
)
def test_mistakes_are_one_line(
    exported: Path, recordings: Path, capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    assert run(["recognise", str(recordings / "a.wav"), "--model", str(exported), *asked]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_name_that_is_no_text(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xb3.wav"))
    path.write_bytes((recordings / "a.wav").read_bytes())
    command = ["recognise", str(path), "--model", str(exported), "--out", str(tmp_path / "out")]
    assert [run(command), run(command)] == [0, 0]
    lines = capsys.readouterr().out.splitlines()
    assert "\\xb3.wav: 2 segments" in lines[0]
    assert lines[1] == f"{lines[0]} (done before)"


def test_two_files_for_one_place(tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = [recordings / "a.wav", recordings / "deep" / "a.flac"]
    assert run(["recognise", *map(str, named), "--model", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "name them apart" in capsys.readouterr().err
    assert [task.path for task in tasks([recordings / "a.wav", recordings / "a.wav"])] == [recordings / "a.wav"]


def test_an_altered_graph_is_refused(exported: Path, recordings: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    altered.mkdir()
    for path in exported.iterdir():
        (altered / path.name).write_bytes(path.read_bytes())
    (altered / "window.onnx").write_bytes(b"\0" + (exported / "window.onnx").read_bytes()[1:])
    assert run(["recognise", str(recordings / "a.wav"), "--model", str(altered)]) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["-", "--adapt", "recording"], "expected running or none"),
        (["-", "--rate", "10"], "--rate 10: expected 4000 to 384000 Hz"),
        (["-", "--channels", "0"], "--channels 0: expected 1 to 64"),
        (["-", "--encoding", "alaw"], "no encoding 'alaw'; expected linear16, float32, mulaw"),
    ],
)
def test_mistakes_of_who_listens(
    exported: Path, capsys: pytest.CaptureFixture[str], asked: list[str], said: str
) -> None:
    assert run(["listen", *asked, "--model", str(exported)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_without_the_extra_a_microphone_is_one_line(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(["listen", "--model", str(exported)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'fedser[microphone]'" in line


def test_broken_pcm_is_told_after_what_was_heard(exported: Path) -> None:
    sound = np.round(talk(0) * 32767).astype("<i2").tobytes() + b"\0"
    asked = [sys.executable, "-c", WITHOUT_TORCH, "listen", "-", "--model", str(exported)]
    done = subprocess.run(asked, input=sound, capture_output=True, check=False)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) > 2
    assert b"ends within a sample: 1 bytes too many" in done.stderr


def test_prosody_and_a_picture_are_there_where_they_are_asked_for(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sound = tmp_path / "out", str(recordings / "a.wav")
    command = ["recognise", sound, "--model", str(exported), "--vad", "energy", "--out", str(out)]
    assert run(command) == 0
    assert RecordingResult.from_json((out / "a.json").read_text()).prosody is None
    assert run([*command, "--prosody", "--plot", "--channels", "separate"]) == 0
    found = RecordingResult.from_json((out / "a.json").read_text())
    assert found.prosody is not None
    assert found.prosody["note"] == "descriptive, no diagnosis"
    assert 2 < found.prosody["recording"]["speech_rate"] < 8
    assert [each["channel"] for each in found.prosody["speakers"]] == [0]
    picture = out / "a.png"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    drawn = picture.stat().st_mtime_ns
    assert run([*command, "--prosody", "--plot", "--channels", "separate"]) == 0
    assert picture.stat().st_mtime_ns == drawn
    assert run(["recognise", sound, "--model", str(exported), "--plot"]) == 2
    assert "--plot without --out" in capsys.readouterr().err


def test_nothing_of_other_settings_stays_beside_a_result(exported: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["recognise", str(recordings / "a.wav"), "--model", str(exported), "--out", str(out)]
    assert run([*command, "--format", "csv,rttm", "--plot"]) == 0
    picture = (out / "a.png").read_bytes()
    assert run([*command, "--unsure", "1"]) == 0
    assert [path.name for path in out.iterdir()] == ["a.json"]
    assert run([*command, "--unsure", "1", "--plot"]) == 0
    assert (out / "a.png").read_bytes() != picture


def test_folders_that_are_links_are_walked_once(recordings: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    soundfile.write(outside / "b.wav", np.zeros(1600), RATE)
    (recordings / "link").symlink_to(outside)
    (outside / "back").symlink_to(recordings)
    assert sorted(task.place.name for task in tasks([recordings])) == ["a", "a", "b", "cut"]


def test_what_is_no_file_and_no_folder_for_results_are_one_line(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run(["recognise", str(tmp_path / "pipe"), "--model", str(exported)]) == 2
    assert "pipe is no file: a recording is read more than once" in capsys.readouterr().err
    file = recordings / "a.wav"
    assert run(["recognise", str(file), "--model", str(exported), "--out", str(recordings / "notes.txt")]) == 2
    assert "notes.txt is a file; expected a folder for the results" in capsys.readouterr().err
    assert len(tasks([file, recordings / "deep" / "a.flac"], written=False)) == 2


def test_numbers_that_are_none_are_told_by_who_listens_too(exported: Path) -> None:
    sound = np.concatenate([talk(0), [np.nan]]).astype(np.float32)
    command = [
        sys.executable,
        "-m",
        "common.cli.main",
        "listen",
        "--model",
        str(exported),
        "-",
        "--encoding",
        "float32",
    ]
    ended = subprocess.run(command, input=sound.tobytes(), capture_output=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert b"1 samples were no numbers" in ended.stderr
    assert ended.stdout.count(b" s  ") >= 2


def test_a_full_disk_behind_standard_output_is_one_line(exported: Path, recordings: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "common.cli.main",
        "recognise",
        "--model",
        str(exported),
        str(recordings / "a.wav"),
    ]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(
        b"fedser: error: what was to be printed cannot be written: No space"
    )
    assert b"Traceback" not in ended.stderr
