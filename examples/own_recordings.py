"""Train and score a model on a folder of your own recordings, dealt over simulated hospitals.

The folder holds a subfolder for each emotion, and in it recordings whose file names begin with the speaker, up to the
first "_" or "-":

    recordings/
      anger/      anna_01.wav  anna_02.wav  ben-a.flac
      neutral/    anna_03.wav  ben-b.flac   carla_1.ogg

An emotion may be named as you like ("Wut"), if a label map says which one it is (--label-map FILE.toml, one line each:
Wut = "anger"). It takes four speakers or more, each with several emotions: the model is scored on speakers that it has
never heard.

    python own_recordings.py recordings --out runs/own

It writes recordings/manifest.csv, says what is wrong with the recordings, and trains; the page is runs/own/report.html.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from pathlib import Path

import soundfile

from simulations import open_corpus, run

FORMATS = {f".{name.lower()}" for name in soundfile.available_formats()}


def write_manifest(folder: Path) -> Path:
    """List the recordings in ``manifest.csv``: the subfolder is the emotion, the file's beginning the speaker."""
    rows = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in FORMATS:
            speaker = re.split("[_-]", path.stem)[0]
            rows.append({"path": path.relative_to(folder).as_posix(), "emotion": path.parent.name, "speaker": speaker})
    if not rows:
        sys.exit(f"{folder} holds no recordings, expected {folder}/EMOTION/SPEAKER_….wav")
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["path", "emotion", "speaker"])
        table.writeheader()
        table.writerows(rows)
    return manifest


def main() -> None:
    """Write the manifest, check it, train, and say what came out."""
    about, _, more = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=more, formatter_class=form)
    parser.add_argument("folder", type=Path, help="with a subfolder for each emotion")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder, which is made")
    parser.add_argument("--label-map", help="a TOML file that renames your labels")
    parser.add_argument(
        "--held-out", default="kfold:4", help="who is scored in turn; kfold:4, or speakers for each one"
    )
    parser.add_argument("--sites", default="2", help="how many hospitals the speakers are dealt over")
    parser.add_argument("--rounds", type=int, default=30, help="how often the model goes to the sites and back")
    asked = parser.parse_args()

    manifest = write_manifest(asked.folder)
    corpus = open_corpus("manifest", manifest, label_map=asked.label_map)
    print(corpus)
    for problem in corpus.problems:
        print(f"{problem.kind}: {problem.path}: {problem.detail}")
    if todo := corpus.preflight.obstacles():
        sys.exit("; ".join(todo))

    result = run(
        corpus="manifest",
        root=manifest,
        label_map=asked.label_map,
        held_out=asked.held_out,
        sites=asked.sites,
        rounds=asked.rounds,
        out=asked.out,
    )
    if result.summary is None:
        sys.exit("the model was not scored")
    figure = result.summary.uar
    between = f", 95 % interval {figure.ci95[0]:.3f} to {figure.ci95[1]:.3f}" if figure.ci95 else ""
    print(f"UAR on unheard speakers: {figure.mean:.3f}{between}; guessing is {1 / len(result.corpus.classes):.3f}")
    print(f"{asked.out / 'report.html'}: the report")


if __name__ == "__main__":
    main()
