"""A corpus of tiny feature matrices that a model learns in a moment: for tests of all that isn't sound."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from common.config.settings import Config

CLASSES = ("anger", "happiness", "neutral", "sadness")
FEATURES = 6
SMALL = {
    "data.corpus": "manifest",
    "model.projection": 8,
    "model.hidden": 6,
    "model.attention": 4,
    "model.dropout": 0.1,
    "training.batch_size": 8,
    "training.least_steps": 0,  # a site of eight recordings would make 48 steps for two
    "federation.rounds": 2,
    "data.held_out": "kfold:4:0",
    "data.sites": "2",
    "augment.copies": 0,
}


def write(folder: Path, *, speakers: int = 8, each: int = 2, test: tuple[int, ...] = (), seed: int = 0) -> Path:
    """Write ``speakers * 4 * each`` matrices and their manifest; speaker i is at site ``s0`` … ``s3`` by i mod 4."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "speaker", "gender", "site", "split"])
        for speaker in range(speakers):
            for label, emotion in enumerate(CLASSES):
                for take in range(each):
                    name = f"{speaker:02}-{emotion}-{take}.npy"
                    frames = rng.normal(size=(int(rng.integers(3, 9)), FEATURES)) + 2.5 * np.eye(4, FEATURES)[label]
                    np.save(folder / name, frames.astype(np.float32))
                    gender = "f" if speaker % 2 else "m"
                    split = "test" if speaker in test else "train"
                    writer.writerow([name, emotion, f"{speaker:02}", gender, f"s{speaker % 4}", split])
    return path


def config(manifest: Path, **more: object) -> Config:
    """Small settings for it; keywords with ``__`` for the dots of flat names."""
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values({**SMALL, "data.root": str(manifest), **own})
