from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from common.cli.main import app, join_rings
from common.errors import FedserError, UsageError
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import RecordingResult
from recogniser.pictures import folded_columns, picture
from recogniser.pictures.overview import Overview, look
from recogniser.pictures.time_axis import labels, ticks
from tests.recogniser.speech import RATE, talk


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "two $words$.wav"
    soundfile.write(path, talk(1, 2), RATE)
    return path


@pytest.fixture(scope="module")
def drawn(recording: Path, model: ExportedModel) -> tuple[Overview, RecordingResult]:
    settings = RecogniseSettings(listen=ListenSettings(vad="energy", adapt="none"))
    return look(recording, model), recognise(model, recording, settings)


def test_a_tone_and_a_silence_lie_where_they_sound(tmp_path: Path) -> None:
    sound = np.zeros((3 * 44_100, 2))
    sound[44_100 : 2 * 44_100] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)[:, None]
    soundfile.write(tmp_path / "a.wav", sound, 44_100)
    seen = look(tmp_path / "a.wav")
    assert seen.seconds == 3
    loud = np.flatnonzero(seen.waveform[:, 1] > 0.4) * seen.waveform_step
    assert (loud[0], loud[-1]) == pytest.approx((1, 2), abs=0.005)
    assert seen.waveform.min() == pytest.approx(-0.5, abs=0.01)
    middle = seen.spectrogram[round(1.5 / seen.spectrogram_step)]
    assert middle.argmax() * RATE / 512 == pytest.approx(1000, abs=32)
    assert middle.max() == pytest.approx(-6, abs=1)
    assert seen.spectrogram[round(0.5 / seen.spectrogram_step)].max() < -90
    assert [round(edge, 1) for stretch in seen.speech for edge in stretch] == [1.0, 2.0]


def test_a_long_sound_takes_no_more_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(20 * RATE) / RATE
    soundfile.write(tmp_path / "a.wav", np.where(time < 15, 0.01, 0.5) * np.sin(2 * np.pi * 440 * time), RATE)
    monkeypatch.setattr(folded_columns, "MOST", 64)
    seen = look(tmp_path / "a.wav")
    assert 64 <= len(seen.waveform) <= 128
    assert 64 <= len(seen.spectrogram) <= 128
    assert len(seen.waveform) * seen.waveform_step == pytest.approx(20, abs=seen.waveform_step)
    assert len(seen.spectrogram) * seen.spectrogram_step == pytest.approx(20, abs=2 * seen.spectrogram_step)
    levels = seen.spectrogram[:, 14]
    rises = np.flatnonzero(np.diff(levels) > 10) * seen.spectrogram_step
    assert rises[0] == pytest.approx(15, abs=2 * seen.spectrogram_step)


def test_all_panels_share_the_recording_s_time(drawn: tuple[Overview, RecordingResult]) -> None:
    seen, found = drawn
    figure = picture.compose(seen, "a.wav", found, 900)
    assert len(figure.axes) == 5
    assert {axes.get_xlim() for axes in figure.axes} == {(0, found.seconds)}
    assert found.trajectory.times[-1] == pytest.approx(found.seconds, abs=found.trajectory.hop)
    hertz = figure.axes[2].lines[0].get_ydata()
    assert 150 < np.median(np.asarray(hertz, float)) < 350
    assert len(picture.compose(seen, "a.wav", None, 900).axes) == 4


def test_a_picture_has_its_width_and_the_same_bytes_each_time(drawn: tuple[Overview, RecordingResult]) -> None:
    seen, found = drawn
    png = picture.draw(seen, "a.wav", found, width=640)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == 640
    assert png == picture.draw(seen, "a.wav", found, width=640)
    with pytest.raises(UsageError, match="--width 12: expected 320 to 20000 pixels"):
        picture.draw(seen, "a.wav", width=12)


def test_an_svg_says_who_is_heard_and_what_the_classes_are(drawn: tuple[Overview, RecordingResult]) -> None:
    seen, found = drawn
    segments = [replace(own, emotion=None, speaker=name) for own in found.segments for name in ("Jürgen & Co", None)]
    model = replace(found.model, synthetic=True)
    svg = picture.draw(seen, "a\nb $x$.wav", replace(found, segments=segments, model=model), kind="svg").decode()
    said = "".join(ET.fromstring(svg).itertext())
    for text in ("Jürgen & Co", "unsure", "a\\nb $x$.wav", "knows nothing of people", *found.model.classes):
        assert text in said


def test_ticks_are_round_and_few() -> None:
    for seconds in (0.4, 3, 59, 61, 754, 3600, 10_801, 90_000):
        places = ticks(seconds, 12)
        assert places[0] == 0
        assert 2 <= len(places) <= 13
        assert {round(b - a, 6) for a, b in pairwise(places)} == {round(places[1], 6)}
        assert places[-1] <= seconds
    assert labels([0, 0.5]) == ["0 s", "0.5 s"]
    assert labels([0, 90]) == ["0:00", "1:30"]
    assert labels([0, 5400]) == ["0:00:00", "1:30:00"]


def test_the_command_draws_with_a_model_and_without(recording: Path, exported: Path, tmp_path: Path) -> None:
    join_rings()
    for more in ([], ["--model", str(exported)]):
        out = tmp_path / f"{len(more)}.svg"
        done = CliRunner().invoke(app, ["draw", str(recording), "--out", str(out), "--width", "500", *more])
        assert (done.exit_code, done.output.strip()) == (0, str(out))
        assert ("anger" in out.read_text()) == bool(more)


def test_what_cannot_be_drawn_is_one_line(recording: Path, tmp_path: Path) -> None:
    join_rings()
    run = CliRunner().invoke
    assert isinstance(run(app, ["draw", str(recording), "--out", "a.jpg"]).exception, UsageError)
    (tmp_path / "text.wav").write_text("no sound")
    refused = run(app, ["draw", str(tmp_path / "text.wav"), "--out", str(tmp_path / "a.png")]).exception
    assert isinstance(refused, FedserError)
    assert not (tmp_path / "a.png").exists()
    (tmp_path / "cut.wav").write_bytes(recording.read_bytes()[:60_000])
    cut = run(app, ["draw", str(tmp_path / "cut.wav"), "--out", str(tmp_path / "a.png")])
    assert "drawn is what there is" in str(cut.exception)
    assert (tmp_path / "a.png").exists()


def test_matplotlib_waits_for_a_picture() -> None:
    code = "import sys, recogniser.pictures.picture; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_it_says_what_to_install(
    drawn: tuple[Overview, RecordingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FedserError, match="needs matplotlib, which is not installed: pip install matplotlib"):
        picture.draw(drawn[0], "a.wav")
