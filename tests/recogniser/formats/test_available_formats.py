"""Every format is read back by whoever else reads it: Python's csv, praatio, pympi, an XML parser, plain splitting."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from praatio import textgrid
from pympi.Elan import Eaf

from common.errors import UsageError
from common.storage import atomic
from recogniser.formats.available_formats import FORMATS, parse_formats
from recogniser.formats.comma_separated import write_all
from recogniser.formats.tracks import by_track
from recogniser.listening.recording_result import ModelSaid, RecordingResult, Segment, Summary, Trajectory

Row = tuple[float, float, int | None, str | None, int | None, float]

KINDS = ("speech", "emotion", "confidence")
CLASSES = ["anger", "Ärger, groß", 'so "called" & <b>', "two words\t\n-->"]
# start, end, channel, speaker, the emotion's number in CLASSES or None, confidence
TWO_CHANNELS: list[Row] = [
    (0.0, 1.234, 0, "Ann", 0, 0.92),
    (0.5, 3661.007, 1, 'Jürgen "J." O\'Neil, <Dr> & Co', 1, 0.51),
    (1.234, 2.0, 0, "Ann", None, 0.41),
    (1.5, 1.9, 0, "Ann", 2, 0.4),  # over the one before, as the turns that somebody gave may lie
    (2.5, 2.501, 0, "tab\there\nline 50%", 3, 1.0),
    (4.0, 5.0, 0, None, 2, 0.333333),
]
MIXED: list[Row] = [(0.25, 1.5, None, None, 0, 0.75), (2.0, 2.75, None, None, None, 0.3)]


def result(*rows: Row, path: str = "a.wav") -> RecordingResult:
    segments = [
        Segment(
            start=start,
            end=end,
            channel=channel,
            speaker=speaker,
            emotion=None if emotion is None else CLASSES[emotion],
            confidence=confidence,
            probabilities={name: round(confidence / (1 + number), 6) for number, name in enumerate(CLASSES)},
            heard=0.0,
        )
        for start, end, channel, speaker, emotion, confidence in rows
    ]
    return RecordingResult(
        path=path,
        seconds=5.5,
        sampling_rate=16000,
        model=ModelSaid(sha256="0" * 64, classes=CLASSES, normalise="running", synthetic=True),
        settings={},
        segments=segments,
        trajectory=Trajectory(hop=0.5, times=[], speech=[], probabilities={name: [] for name in CLASSES}),
        summary=Summary.of(segments, CLASSES),
    )


HARD = result(*TWO_CHANNELS, path='fold er/ä "x", <1> & 2\udcff.wav')


def rounded(segments: list[Segment]) -> Counter[tuple[float, float, str | None]]:
    return Counter((own.start, own.end, own.emotion) for own in segments)


def one_lined(emotion: str | None) -> str:
    return "unsure" if emotion is None else emotion.replace("\t", "\\t").replace("\n", "\\n")


def test_json_is_the_result_itself() -> None:
    assert RecordingResult.from_json(FORMATS["json"].write(HARD)) == HARD


def test_csv_has_every_segment_with_its_probabilities() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].write(HARD), newline="")))
    assert list(rows[0])[:7] == ["file", "start", "end", "channel", "speaker", "emotion", "confidence"]
    for row, own in zip(rows, HARD.segments, strict=True):
        assert row["file"] == 'fold er/ä "x", <1> & 2\\xff.wav'
        assert (float(row["start"]), float(row["end"])) == (own.start, own.end)
        assert row["channel"] == str(own.channel)
        assert (row["speaker"] or None, row["emotion"] or None) == (own.speaker, own.emotion)
        assert float(row["confidence"]) == own.confidence
        assert {name: float(row[name]) for name in CLASSES} == own.probabilities


def test_csv_of_several_recordings_has_one_head() -> None:
    rows = list(csv.reader(io.StringIO(write_all([result(*MIXED), result(), HARD]))))
    assert [row[0] for row in rows] == ["file", "a.wav", "a.wav", *['fold er/ä "x", <1> & 2\\xff.wav'] * 6]
    assert rows[2][3:7] == ["", "", "", "0.3"]


@pytest.mark.parametrize("found", [HARD, result(*MIXED), result()], ids=["hard", "mixed", "silent"])
def test_textgrid_is_read_by_praatio(found: RecordingResult, tmp_path: Path) -> None:
    atomic.write(tmp_path / "x.TextGrid", FORMATS["textgrid"].write(found))
    grid = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=True)
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, max([5.5, *(own.end for own in found.segments)]))
    tracks = by_track(found.segments)
    assert list(grid.tierNames) == [track.tier(kind) for track in tracks for kind in KINDS]
    for track in tracks:
        tiers = [grid.getTier(track.tier(kind)).entries for kind in KINDS]
        for entries in tiers:  # one after the other, from the beginning to the end
            assert [entries[0].start, *(each.end for each in entries)] == [
                *(each.start for each in entries),
                grid.maxTimestamp,
            ]
        told = [[each for each in entries if each.label] for entries in tiers]
        for own, speech, emotion, confidence in zip(track.segments, *told, strict=True):
            assert {(each.start, each.end) for each in (speech, emotion, confidence)} == {(own.start, own.end)}
            assert speech.label == "speech"
            assert emotion.label == one_lined(own.emotion)
            assert float(confidence.label) == round(own.confidence, 3)


@pytest.mark.parametrize("found", [HARD, result(*MIXED), result()], ids=["hard", "mixed", "silent"])
def test_eaf_is_read_by_pympi(found: RecordingResult, tmp_path: Path) -> None:
    atomic.write(tmp_path / "x.eaf", FORMATS["eaf"].write(found))
    read = Eaf(str(tmp_path / "x.eaf"))
    assert unquote(read.media_descriptors[0]["MEDIA_URL"], errors="surrogateescape").endswith(found.path)
    for track in by_track(found.segments):
        speech = sorted(read.get_annotation_data_for_tier(track.tier("speech")))
        assert speech == [(round(1000 * own.start), round(1000 * own.end), "speech") for own in track.segments]
        emotion = sorted(read.get_annotation_data_for_tier(track.tier("emotion")))
        assert [each[:3] for each in emotion] == [
            (round(1000 * own.start), round(1000 * own.end), one_lined(own.emotion)) for own in track.segments
        ]
        confidence = sorted(read.get_annotation_data_for_tier(track.tier("confidence")))
        assert [float(each[2]) for each in confidence] == [round(own.confidence, 3) for own in track.segments]
        assert read.get_parameters_for_tier(track.tier("emotion"))["PARENT_REF"] == track.tier("speech")
        assert read.get_parameters_for_tier(track.tier("speech")).get("PARTICIPANT", "") == track.speaker


def test_eaf_holds_only_what_xml_can() -> None:
    found = result((0.0, 1.0, 0, "a\x00b\ufffe\ud800", 0, 1.0))
    assert ET.fromstring(FORMATS["eaf"].write(found)).find("TIER").get("PARTICIPANT") == "a\\x00b\\ufffe\\ud800"  # type: ignore[union-attr]


def test_rttm_has_ten_fields_a_line() -> None:
    lines = [line.split() for line in FORMATS["rttm"].write(HARD).splitlines()]
    assert {(fields[0], *fields[5:7], fields[9]) for fields in lines} == {("SPEAKER", "<NA>", "<NA>", "<NA>")}
    for fields, own in zip(lines, HARD.segments, strict=True):
        assert unquote(fields[1]) == 'ä "x", <1> & 2\\xff'
        assert fields[2] == str(1 + (own.channel or 0))
        assert float(fields[3]) == own.start
        assert float(fields[3]) + float(fields[4]) == pytest.approx(own.end, abs=5e-4)
        assert fields[7] == "<NA>" if own.emotion is None else unquote(fields[7]) == one_lined(own.emotion)
        assert float(fields[8]) == own.confidence


def test_webvtt_has_a_cue_a_segment() -> None:
    head, *cues = FORMATS["vtt"].write(HARD).strip().split("\n\n")
    assert head == "WEBVTT"
    assert cues[0] == "00:00:00.000 --> 00:00:01.234\n<v Ann, channel 0>anger 0.92"
    assert cues[1] == (
        '00:00:00.500 --> 01:01:01.007\n<v Jürgen "J." O\'Neil, &lt;Dr&gt; &amp; Co, channel 1>Ärger, groß 0.51'
    )
    assert cues[4].endswith("\n<v tab\\there\\nline 50%, channel 0>two words\\t\\n--&gt; 1.00")
    assert len(cues) == len(HARD.segments)
    assert all(len(cue.splitlines()) == 2 and cue.count("-->") == 1 for cue in cues)
    assert FORMATS["vtt"].write(result(*MIXED)).splitlines()[-1] == "unsure 0.30"
    assert FORMATS["vtt"].write(result()) == "WEBVTT\n"


def test_audacity_has_a_label_a_segment() -> None:
    labels = [line.split("\t") for line in FORMATS["audacity"].write(HARD).splitlines()]
    assert [(float(start), float(end)) for start, end, _ in labels] == [(own.start, own.end) for own in HARD.segments]
    assert [label for _, _, label in labels][2::3] == ["Ann, channel 0: unsure 0.41", f"channel 0: {CLASSES[2]} 0.33"]


def test_tracks_have_names_of_their_own() -> None:
    found = by_track(result(*TWO_CHANNELS, (0.0, 1.0, None, "Ann, channel 0", 0, 1.0)).segments)
    names = [track.name for track in found]
    assert len(set(names)) == len(names)
    assert [name for name in names if name.startswith("Ann")] == [
        "Ann, channel 0",
        "Ann, channel 0 (2)",
        "Ann, channel 0 (3)",
    ]
    assert sum(len(track.segments) for track in found) == 7
    assert by_track(result((1.0, 1.0, None, None, 0, 1.0)).segments) == by_track([])
    assert re.fullmatch("channel 0", next(name for name in names if name.startswith("channel")))


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_utf8_and_the_same_each_time(name: str) -> None:
    text = FORMATS[name].write(HARD)
    assert text == FORMATS[name].write(HARD)
    if name != "json":  # where json.dumps has no reader that minds
        text.encode()


def test_formats_are_named() -> None:
    assert parse_formats("vtt, CSV,vtt") == [FORMATS["vtt"], FORMATS["csv"]]
    with pytest.raises(UsageError, match="--format 'srt' is unknown; one or more of json,csv,textgrid,eaf,rttm,vtt"):
        parse_formats("json,srt")
