import dataclasses
from pathlib import Path

import pytest

from common.config.settings import DataConfig
from common.corpora import iemocap
from common.curation.selection import labels, list_corpus, merged, open_corpus, parse_classes, select
from common.errors import CorpusError, UsageError
from common.utterance import Utterance

DEFAULTS = {"anger": ("anger",), "happiness": ("happiness", "excitement"), "fear": ("fear",)}


def utterance(emotion: str, style: str | None = None) -> Utterance:
    return Utterance(path=Path(f"{emotion}.wav"), emotion=emotion, speaker="1", corpus="test", style=style)


def test_default_classes_that_the_corpus_lacks_are_dropped() -> None:
    assert parse_classes((), DEFAULTS, {"excitement": 1, "anger": 2}) == {
        "anger": ("anger",),
        "happiness": ("happiness", "excitement"),
    }


def test_chosen_classes_are_one_label_each_in_the_given_order() -> None:
    found = dict.fromkeys(sorted(("anger", "happiness", "excitement", "sadness", "neutral", "frustration", "pain")), 1)
    six = parse_classes(["ang hap,exc", "sad", "neu", "FRU", "pain"], DEFAULTS, found)
    order = ("anger", "happiness", "excitement", "sadness", "neutral", "frustration", "pain")
    assert list(six.items()) == [(name, (name,)) for name in order]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["anger", "ang"], "names anger 2 times"),
        (["anger"], "names only anger, expected at least 2"),
        (["anger", "fear"], r"names fear, which the corpus does not have; it has anger \(3\), xxx \(1\)"),
    ],
)
def test_bad_classes_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_classes(names, DEFAULTS, {"anger": 3, "xxx": 1})


def test_select_merges_and_drops() -> None:
    listed = [utterance(emotion) for emotion in ("excitement", "xxx", "happiness", "anger")]
    chosen = select(listed, DEFAULTS)
    assert [(u.path.stem, u.emotion) for u in chosen] == [
        ("excitement", "happiness"),
        ("happiness", "happiness"),
        ("anger", "anger"),
    ]
    assert labels(listed) == {"anger": 1, "excitement": 1, "happiness": 1, "xxx": 1}


def test_select_by_style() -> None:
    listed = [utterance("anger", "improvised"), utterance("fear", "scripted")]
    assert [u.emotion for u in select(listed, DEFAULTS, "scripted")] == ["fear"]
    with pytest.raises(UsageError, match="did you mean scripted"):
        select(listed, DEFAULTS, "script")
    with pytest.raises(UsageError, match="does not tell improvised from scripted"):
        select([utterance("anger")], DEFAULTS, "scripted")


FOUND = dict.fromkeys(("anger", "happiness", "excitement", "neutral", "sadness", "frustration", "xxx"), 1)


def test_naming_the_default_classes_chooses_the_default_classes() -> None:
    default = parse_classes((), iemocap.CLASSES, FOUND)
    assert default["happiness"] == ("happiness", "excitement")
    assert parse_classes(list(default), iemocap.CLASSES, FOUND) == default
    assert parse_classes(["ang", "hap"], iemocap.CLASSES, {"anger": 1, "excitement": 1})["happiness"][1] == "excitement"


def test_happiness_is_itself_alone_where_excitement_is_a_class() -> None:
    six = parse_classes(["ang hap exc sad neu fru"], iemocap.CLASSES, FOUND)
    assert list(six.values()) == [
        (name,) for name in ("anger", "happiness", "excitement", "sadness", "neutral", "frustration")
    ]


def test_a_label_map_takes_excitement_out_of_happiness(tmp_path: Path) -> None:
    labels_of = tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels_of.parent.mkdir(parents=True)
    turns = {"F000": "ang", "F001": "hap", "F002": "exc", "M003": "neu"}
    lines = [f"[1.0 - 2.0]\tSes01F_impro01_{turn}\t{label}\t[1, 1, 1]\n" for turn, label in turns.items()]
    labels_of.write_text("".join(lines))
    recording = tmp_path / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    recording.parent.mkdir(parents=True)
    recording.touch()
    (tmp_path / "map.toml").write_text('exc = "oth"\n')
    chosen = ("anger", "happiness", "neutral")
    data = DataConfig(corpus="iemocap", root=str(tmp_path), classes=chosen)
    assert labels(list_corpus(data).utterances) == {"anger": 1, "happiness": 2, "neutral": 1}
    assert list_corpus(data).utterances == list_corpus(dataclasses.replace(data, classes=())).utterances
    alone = list_corpus(dataclasses.replace(data, label_map=str(tmp_path / "map.toml")))
    assert labels(alone.utterances) == {"anger": 1, "happiness": 1, "neutral": 1}


def manifest(folder: Path, *emotions: str) -> str:
    path = folder / "manifest.csv"
    path.write_text("path,emotion,speaker\n" + "".join(f"{n}.wav,{e},{n}\n" for n, e in enumerate(emotions)))
    return str(path)


def test_open_corpus(tmp_path: Path) -> None:
    root = manifest(tmp_path, "ang", "sad", "pain")
    selection = open_corpus(DataConfig(corpus="manifest", root=root))
    assert list(selection.classes) == ["anger", "sadness"]
    assert [u.emotion for u in selection.utterances] == ["anger", "sadness"]
    assert len(selection.listed) == 3
    assert not selection.synthetic


def test_open_corpus_renames_before_it_chooses(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('pain = "sad"')
    root = manifest(tmp_path, "ang", "sad", "pain")
    selection = open_corpus(DataConfig(corpus="manifest", root=root, label_map=str(tmp_path / "map.toml")))
    assert labels(selection.utterances) == {"anger": 1, "sadness": 2}


def test_one_class_is_enough_to_list_but_not_to_train(tmp_path: Path) -> None:
    data = DataConfig(corpus="manifest", root=manifest(tmp_path, "anger", "pain", "pain"))
    assert list(list_corpus(data).classes) == ["anger"]
    with pytest.raises(CorpusError, match=r"has 1 of its default classes.*found the labels anger \(1\), pain \(2\)"):
        open_corpus(data)


def test_a_missing_root_and_an_unknown_corpus_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="--root is missing"):
        open_corpus(DataConfig(corpus="emodb"))
    with pytest.raises(UsageError, match="did you mean ravdess"):
        open_corpus(DataConfig(corpus="ravdes", root="x"))


def test_a_corpus_merges_labels_into_a_class_unless_they_are_classes() -> None:
    iemocap = {"anger": ("anger",), "happiness": ("happiness", "excitement")}
    assert merged(["anger", "happiness"], iemocap)["happiness"] == ("happiness", "excitement")
    assert merged(["happiness", "excitement"], iemocap) == {
        "happiness": ("happiness",),
        "excitement": ("excitement",),
    }


@pytest.mark.parametrize(
    ("path", "outside"),
    [
        ("a.wav", False),
        ("sub/../a.wav", False),
        ("{folder}/sub/a.wav", False),
        ("../a.wav", True),
        ("sub/../../a.wav", True),
        ("/etc/passwd", True),
        ("{folder}-other/a.wav", True),
    ],
)
def test_a_list_reads_what_lies_in_its_folder(tmp_path: Path, path: str, outside: bool) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [f"{path.format(folder=folder)},anger,a", "b.wav,sadness,a"]
    (folder / "manifest.csv").write_text("path,emotion,speaker\n" + "\n".join(rows) + "\n")
    for root in (folder, folder / "manifest.csv"):
        data = DataConfig(corpus="manifest", root=str(root))
        assert len(list_corpus(dataclasses.replace(data, outside_root=True)).utterances) == 2
        if not outside:
            assert len(list_corpus(data).utterances) == 2
            continue
        with pytest.raises(CorpusError, match=r"lies outside .*corpus, and so do 0 more: .* give --outside-root"):
            list_corpus(data)
