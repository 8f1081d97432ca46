from collections import Counter
from pathlib import Path

import pytest

from common.errors import UsageError
from common.voices.emotion import EFFECTS
from simulations.synthesis import iemocap_layout, layouts
from simulations.synthesis.items import Item
from simulations.synthesis.layouts import LAYOUTS, deal
from simulations.synthesis.made_up_words import words_of

SHAPES = [("iemocap", 10, 403), ("ravdess", 5, 97), ("emodb", 10, 155), ("cremad", 7, 100), ("manifest", 9, 61)]


def test_iemocap_names() -> None:
    items = deal("iemocap", 4, 4 * 25)
    assert items[0].path == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert items[3].path == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F003.wav"
    assert items[25 + 11].path == "Session1/sentences/wav/Ses01M_impro01/Ses01M_impro01_M001.wav"
    assert items[75 + 24].path == "Session2/sentences/wav/Ses02F_script01_1/Ses02F_script01_1_M004.wav"
    assert [item.gender for item in items[::25]] == ["female", "male", "female", "male"]
    assert Counter(item.emotion for item in items) == {
        "anger": 25, "happiness": 13, "excitement": 12, "neutral": 25, "sadness": 25,
    }  # fmt: skip


def test_ravdess_names() -> None:
    items = deal("ravdess", 2, 2 * 40)
    assert [item.path for item in items[:3]] == [
        "Actor_01/03-01-01-01-01-01-01.wav",  # neutral has one intensity
        "Actor_01/03-01-02-01-01-01-01.wav",
        "Actor_01/03-01-03-01-01-01-01.wav",
    ]
    angers = [item.path for item in items if item.speaker == 1 and item.emotion == "anger"]
    assert angers == [
        "Actor_02/03-01-05-01-01-01-02.wav",
        "Actor_02/03-01-05-02-01-01-02.wav",
        "Actor_02/03-01-05-01-02-01-02.wav",
        "Actor_02/03-01-05-02-02-01-02.wav",
        "Actor_02/03-01-05-01-01-02-02.wav",
    ]
    assert (items[0].gender, items[40].gender) == ("male", "female")  # odd actors are men


def test_emodb_names() -> None:
    items = deal("emodb", 10, 10 * 7 * 11)
    assert items[0].path == "wav/08a01Wa.wav"
    assert items[77].path == "wav/03a01Wa.wav"
    assert [item.path for item in items if item.speaker == 0 and item.emotion == "sadness"][9:] == [
        "wav/08b10Ta.wav",
        "wav/08a01Tb.wav",
    ]
    women = {item.path[4:6] for item in items if item.gender == "female"}
    assert women == {"08", "09", "13", "14", "16"}


def test_cremad_names() -> None:
    items = deal("cremad", 3, 3 * 6 * 13)
    sad = [item.path for item in items if item.speaker == 2 and item.emotion == "sadness"]
    assert (sad[0], sad[11], sad[12]) == (
        "AudioWAV/1003_IEO_SAD_XX.wav",
        "AudioWAV/1003_WSI_SAD_XX.wav",
        "AudioWAV/1003_IEO_SAD_LO.wav",
    )


@pytest.mark.parametrize(("name", "speakers", "utterances"), SHAPES)
def test_every_count_is_even_and_every_name_once(name: str, speakers: int, utterances: int) -> None:
    items = deal(name, speakers, utterances)
    assert len({item.path for item in items}) == len(items) == utterances
    happy = {"excitement": "happiness"}
    for key in (
        lambda item: item.speaker,
        lambda item: happy.get(item.emotion, item.emotion),
        lambda item: (item.speaker, happy.get(item.emotion, item.emotion)),
    ):
        counts = Counter(key(item) for item in items)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert {item.emotion for item in items} <= set(EFFECTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_last_name_of_each_layout_is_a_name_of_its_own(name: str) -> None:
    layout = LAYOUTS[name]
    items = deal(name, 1, layout.repeats * len(layout.emotions))
    assert len({item.path for item in items}) == len(items)
    assert len({len(item.path) for item in items if "script" not in item.path}) == 1  # no number grows a digit


@pytest.mark.parametrize(
    ("name", "speakers", "utterances", "message"),
    [
        ("iemocab", 2, 8, "did you mean iemocap"),
        ("iemocap", 11, 40, "--speakers is 11, expected 1 to 10"),
        ("ravdess", 25, 40, "--speakers is 25, expected 1 to 24"),
        ("emodb", 0, 40, "--speakers is 0"),
        ("emodb", 5, 4, "--utterances is 4, expected 5 to"),
        ("cremad", 1, 289, "expected 1 to 288"),
    ],
)
def test_numbers_without_names_are_refused(name: str, speakers: int, utterances: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        deal(name, speakers, utterances)


def test_iemocap_label_file(tmp_path: Path) -> None:
    items = [iemocap_layout.place(0, 0, "anger", 0), iemocap_layout.place(1, 0, "happiness", 1)]
    iemocap_layout.write(tmp_path, items, [2.0, 1.5])
    text = (tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt").read_text()
    assert text.splitlines() == [
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "",
        "[1.0000 - 3.0000]\tSes01F_impro01_F000\tang\t[2.0000, 4.0000, 4.0000]",
        "C-E2:\tAnger;\t()",
        "C-E3:\tFrustration;\t()",
        "C-E4:\tAnger;\t()",
        "A-E3:\tval 2; act 4; dom  4;\t()",
        "A-E4:\tval 2; act 4; dom  4;\t()",
        "",
        "[3.8000 - 5.3000]\tSes01F_impro01_M000\texc\t[4.0000, 4.0000, 3.0000]",
        "C-E2:\tExcited;\t()",
        "C-E3:\tExcited;\t()",
        "C-E4:\tExcited;\t()",
        "A-E3:\tval 4; act 4; dom  3;\t()",
        "A-E4:\tval 4; act 4; dom  3;\t()",
        "",
    ]


def test_manifest_file(tmp_path: Path) -> None:
    items = [layouts.manifest(speaker, 0, "sadness", 0) for speaker in (0, 1, 5)]
    layouts.write_manifest(tmp_path, items, [])
    assert (tmp_path / "manifest.csv").read_text() == (
        "path,emotion,speaker,session,site,gender,language,split\n"
        "audio/spk-01/0001.wav,sadness,spk-01,1,site-a,female,zxx,train\n"
        "audio/spk-02/0001.wav,sadness,spk-02,1,site-a,male,zxx,train\n"
        "audio/spk-06/0001.wav,sadness,spk-06,3,site-c,male,zxx,test\n"
    )


def test_cremad_demographics(tmp_path: Path) -> None:
    items: list[Item] = [layouts.cremad(speaker, 0, "anger", 0) for speaker in (1, 0, 0)]
    layouts.write_demographics(tmp_path, items, [])
    assert (tmp_path / "VideoDemographics.csv").read_text() == (
        "ActorID,Age,Sex,Race,Ethnicity\n1001,,Female,Unknown,Unknown\n1002,,Male,Unknown,Unknown\n"
    )


def test_iemocap_transcripts(tmp_path: Path) -> None:
    items = [iemocap_layout.place(0, 0, "anger", 0), iemocap_layout.place(1, 0, "sadness", 0)]
    iemocap_layout.write(tmp_path, items, [2.0, 1.5])
    path = tmp_path / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    assert path.read_text().splitlines() == [
        f"Ses01F_impro01_F000 [001.0000-003.0000]: {words_of(items[0])}",
        f"Ses01F_impro01_M000 [003.8000-005.3000]: {words_of(items[1])}",
    ]
