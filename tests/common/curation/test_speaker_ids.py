"""One person under two spellings never trains and is tested: in any corpus, fold, deal or list."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.config.settings import Config, DataConfig
from common.corpora.catalogue import CORPORA
from common.curation.preflight import check
from common.curation.selection import list_corpus, open_corpus
from common.curation.speaker_ids import without
from common.errors import CorpusError
from common.spelling import near
from common.splits.folds import held_out, read_emobox
from simulations.engine.planning import plans
from tests.common.examples import tone
from tests.simulations import tiny

SPELLINGS: dict[str, Callable[[str], str]] = {
    "zeros": lambda speaker: speaker.lstrip("0") or "0",
    "case": lambda speaker: f"P{speaker}",
    "number": lambda speaker: f"{speaker}.0",
    "space": lambda speaker: f"{speaker[0]} {speaker[1]}",
}


def respelled(manifest: Path, how: str) -> Path:
    """Every other row of each speaker under another spelling."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        own = f"p{row['speaker']}" if how == "case" else row["speaker"]
        row["speaker"] = SPELLINGS[how](row["speaker"]) if number % 2 else own
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize("wish", ["", "merge", "distinct"])
def test_nobody_trains_and_is_tested_unless_it_was_said(tmp_path: Path, how: str, wish: str) -> None:
    path = respelled(tiny.write(tmp_path, speakers=8, test=(0, 5)), how)
    data = DataConfig(corpus="manifest", root=str(path), speaker_ids=wish)
    found = check(list_corpus(data))
    kinds = {problem.kind for problem in found.problems}
    assert ("speaker-ids" in kinds, any("--speaker-ids" in todo for todo in found.obstacles())) == (not wish, not wish)
    if not wish:
        with pytest.raises(CorpusError, match=r"speakers are spelled alike: .* --speaker-ids merge"):
            open_corpus(data)
        return
    assert len(found.speakers) == (8 if wish == "merge" else 16)
    if wish == "distinct":
        return
    selection = open_corpus(data)
    for fold in ("kfold:4", "speakers", "split"):
        for sites in ("2", "speaker", "column", "dirichlet:2:1"):
            wanted = {"data.root": str(path), "data.held_out": fold, "data.sites": sites, "data.speaker_ids": wish}
            for plan in plans(Config().with_values({**tiny.SMALL, **wanted}), selection, []):
                parts = [{near(s) for s in own} for own in (plan.train_speakers, plan.validation_speakers)]
                assert not set.union(*parts) & {near(s) for s in plan.test_speakers}


COMBINED = "Zoe\u0308"
CASIA = ("Liu Chang", "LiuChang", "zhao", "Zhao ")


def test_folders_of_casia_are_looked_at_too(tmp_path: Path) -> None:
    for number, speaker in enumerate(CASIA):
        for emotion in ("angry", "sad"):
            tone(tmp_path / speaker / emotion / "201.wav", seed=number)
    with pytest.raises(CorpusError, match=r"'Liu Chang', 'LiuChang'; 'Zhao ', 'zhao'"):
        open_corpus(DataConfig(corpus="casia", root=str(tmp_path)))
    merged = open_corpus(DataConfig(corpus="casia", root=str(tmp_path), speaker_ids="merge"))
    assert {u.speaker for u in merged.utterances} == {"Liu Chang", "Zhao "}
    assert len(open_corpus(DataConfig(corpus="casia", root=str(tmp_path), speaker_ids="distinct")).utterances) == 8


@pytest.mark.parametrize("corpus", sorted(CORPORA.keys() - {"manifest", "casia", "synthetic", "iemocap"}))
def test_other_corpora_write_an_id_in_one_way(corpus: str) -> None:
    """Their patterns fix its length, and tess's its case."""
    pattern = CORPORA[corpus].NAME.pattern
    assert any(part in pattern for part in (r"\d\d)", r"\d{4})", r"OA|YA"))


def test_accents_of_two_systems_are_one_person_without_asking(tmp_path: Path) -> None:
    table = "".join(f"{n}.npy,{tiny.CLASSES[n]},{('Zoë', COMBINED)[n % 2]},\n" for n in range(4))
    for n in range(4):
        np.save(tmp_path / f"{n}.npy", np.ones((3, 2), np.float32))
    (tmp_path / "m.csv").write_text(f"path,emotion,speaker,site\n{table}", encoding="utf-8")
    assert {u.speaker for u in open_corpus(DataConfig(corpus="manifest", root=str(tmp_path / "m.csv"))).listed} == {
        "Zoë"
    }


def test_whoever_is_held_out_is_found_by_any_spelling(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, speakers=4)
    utterances = open_corpus(DataConfig(corpus="manifest", root=str(path))).utterances
    for spec in ("speaker:03", "speaker:3", "speaker:3.0"):
        [fold] = held_out(utterances, spec)
        assert (fold.name, fold.test) == ("speaker:03", ("03",))


def test_an_emobox_list_of_another_system_is_found(tmp_path: Path) -> None:
    for speaker in (COMBINED, "刘畅"):
        for emotion in ("angry", "sad"):
            tone(tmp_path / "c" / speaker / emotion / "201.wav", seed=len(speaker))
    utterances = open_corpus(DataConfig(corpus="casia", root=str(tmp_path / "c"))).utterances
    lines = [json.dumps({"wav": f"casia\\Zoë\\{emotion}\\201.wav"}) for emotion in ("angry", "sad")]
    (tmp_path / "casia_test_fold_1.jsonl").write_text("\r\n".join(lines), encoding="utf-16")
    fold = read_emobox(tmp_path / "casia_test_fold_1.jsonl", utterances)
    assert (fold.test, fold.train) == (("Zoë",), ("刘畅",))


def test_sites_spelled_alike_are_listed(tmp_path: Path) -> None:
    path = tiny.write(tmp_path)
    path.write_text(path.read_text().replace(",s1,", ",S1,", 3))
    found = [p.detail for p in check(list_corpus(DataConfig(corpus="manifest", root=str(path)))).problems]
    assert found == ["'S1', 's1' are 2 sites: spell one site in one way"]


def test_who_withdrew_is_left_out_under_any_spelling_that_may_be_the_same(tmp_path: Path) -> None:
    path = respelled(tiny.write(tmp_path, speakers=2), "zeros")
    listed = list_corpus(DataConfig(corpus="manifest", root=str(path))).listed
    left: dict[Any, set[str]] = {d: {u.speaker for u in without(listed, ["01"], distinct=d)} for d in (True, False)}
    assert left == {True: {"0", "00", "1"}, False: {"0", "00"}}
