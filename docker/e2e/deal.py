"""Deals a flat folder of EMO-DB: a third of the training speakers to each site, every fifth speaker to the coordinator.

python deal.py RECORDINGS OUT SITE …: a folder and a manifest for each in OUT, and OUT/all.csv for the same as one
simulation.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

from common.corpora import emodb

HELD_OUT = "held-out"


def main(recordings: str, out: str, *sites: str) -> None:
    """Copy the recordings, write the manifests."""
    utterances = emodb.load(Path(recordings))
    speakers = sorted({u.speaker for u in utterances})
    test = speakers[4::5]
    train = [speaker for speaker in speakers if speaker not in test]
    place = {speaker: sites[i % len(sites)] for i, speaker in enumerate(train)} | dict.fromkeys(test, HELD_OUT)
    rows: dict[str, list[list[str]]] = {name: [] for name in (*sites, HELD_OUT)}
    for u in utterances:
        folder = Path(out, place[u.speaker])
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(u.path, folder / u.path.name)
        rows[folder.name].append([u.path.name, u.emotion, u.speaker])
    whole = []
    for name, own in rows.items():
        write(Path(out, name, "manifest.csv"), ["path", "emotion", "speaker"], own)
        split = "test" if name == HELD_OUT else "train"
        whole += [[f"{name}/{path}", emotion, speaker, name, split] for path, emotion, speaker in own]
    write(Path(out, "all.csv"), ["path", "emotion", "speaker", "site", "split"], whole)


def write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Write a manifest."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main(*sys.argv[1:])
