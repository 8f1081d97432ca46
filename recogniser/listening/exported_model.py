"""An exported model that listens: frames from sound, and probabilities from frames, through ONNX Runtime alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from recogniser.listening.recording_result import ModelSaid
from recogniser.listening.running_sums import Layout, Scaling
from recogniser.sound.sessions import open_session

Signal = npt.NDArray[np.float32]
Frames = npt.NDArray[np.float32]  # (frames, columns)
Probabilities = npt.NDArray[np.float32]  # (windows, classes)

FORMAT = 1
ABOUT, FRONT, WINDOW = "model.json", "front.onnx", "window.onnx"
AT_ONCE = 32  # windows that are scored together, at most
_FILLED = 60  # frames that may be filled up so that one more goes with them: a run of its own costs as much


@dataclass(frozen=True, kw_only=True)
class Window:
    """Frames to be scored, and what scales them.

    Attributes:
        frames: ``(frames, columns)``, the fundamental frequency not bridged.
        scaling: of their rows.
    """

    frames: Frames
    scaling: Scaling


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportedModel:
    """A folder that ``fedser export`` made.

    Attributes:
        said: what a result says of it.
        sampling_rate: in Hz.
        hop_ms: from frame to frame.
        left: frames before a frame that its columns depend on.
        right: and behind it.
        layout: of its rows.
        prior: the training speakers' scaling.
        itself: whether a stretch of which nothing else is known is scaled by itself, and not by that.
        int8: whether its weights are whole numbers of 8 bits.
        held_out: of each class how many of its run's test recordings were taken for it, and how many there were; empty
            where nobody said.
    """

    said: ModelSaid
    sampling_rate: int
    hop_ms: int
    left: int
    right: int
    layout: Layout
    prior: Scaling
    itself: bool
    int8: bool
    held_out: dict[str, tuple[int, int]] = field(default_factory=dict)
    _front: Any = field(repr=False)
    _window: Any = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read one.

        Raises:
            UsageError: it is none, it is broken, or it takes no sound.
            FedserError: ONNX Runtime is not installed.
        """
        about = _about(folder)
        try:
            front, window = (_session(folder / name, about["files"][name]) for name in (FRONT, WINDOW))
            return cls(**_parts(about), _front=front, _window=window)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"--model {folder}: its {ABOUT} is broken ({error!r}); export the model again") from None

    def adapts(self, *, to_all: bool) -> bool:
        """Whether it is another for a speaker of whom it has heard something; ``to_all``: all there is to hear."""
        learnt = self.said.normalise
        return (learnt == "running" and not self.itself) or (learnt == "speaker" and to_all)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return round(self.sampling_rate * self.hop_ms / 1000)

    def frames(self, sound: Signal) -> Frames:
        """The ``1 + samples // hop`` frames ``(frames, columns)`` of a sound ``(samples,)``."""
        frames: Frames = self.frames_of(sound[None].astype(np.float32))[0]
        return frames

    def frames_of(self, sounds: Signal) -> Frames:
        """The frames ``(sounds, frames, columns)`` of some sounds of one length ``(sounds, samples)``."""
        (frames,) = self._front.run(["frames"], {"sound": sounds})
        return np.asarray(frames, np.float32)

    def score(self, windows: Sequence[Window]) -> Probabilities:
        """The classes' probabilities for each window, whatever stands beside it: ``(windows, classes)``."""
        found = np.zeros((len(windows), len(self.said.classes)), np.float32)
        together = 1 if self.int8 else AT_ONCE  # 8 bits round by the whole batch's range: each is one of its own
        for places in _groups([len(window.frames) for window in windows], together):
            found[places] = self._scored([windows[place] for place in places])
        return found

    def _scored(self, windows: Sequence[Window]) -> Probabilities:
        lengths = np.array([len(window.frames) for window in windows], np.int64)
        frames = np.zeros((len(windows), int(lengths.max()), windows[0].frames.shape[1]), np.float32)
        for own, window in zip(frames, windows, strict=True):
            own[: len(window.frames)] = window.frames
        scaling = {
            "mean": np.stack([window.scaling.mean for window in windows]),
            "deviation": np.stack([window.scaling.deviation for window in windows]),
        }
        (found,) = self._window.run(["probabilities"], {"frames": frames, "lengths": lengths, **scaling})
        return np.asarray(found, np.float32)


def _groups(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Places of windows that are scored together: of about a length, for all are filled up to the longest."""
    groups: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        own = groups[-1] if groups else []
        if not own or len(own) == most or len(own) * (lengths[place] - longest) > _FILLED:
            groups.append(own := [])
        own.append(place)
        longest = lengths[place]
    return groups


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, by its files' names."""
    return (folder / ABOUT).is_file()


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        version = about["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"--model {folder}: no {ABOUT} that can be read; expected the folder of a finished run or of an export"
        ) from None
    if version != FORMAT:
        raise UsageError(f"--model {folder}: an export of format {version!r}, this fedser reads {FORMAT}; export anew")
    if FRONT not in about.get("files", {}):
        raise UsageError(
            f"--model {folder}: the model takes features and no sound (it has an encoder, text or matrices in front); "
            "fedser predict can use its run"
        )
    return dict(about)


def _session(path: Path, digest: str) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        said = (error.strerror or "error").lower()
        raise UsageError(f"{path} cannot be read: {said}; export the model again") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise UsageError(f"{path} is not the file that was exported: its digest is another; export the model again")
    return open_session(content, path)


def _parts(about: Mapping[str, Any]) -> dict[str, Any]:
    prior = about["prior"]
    return {
        "said": ModelSaid(
            sha256=str(about["model_sha256"]),
            classes=[str(name) for name in about["classes"]],
            normalise=str(about["normalise"]),
            synthetic=bool(about["synthetic"]),
        ),
        "sampling_rate": int(about["sampling_rate"]),
        "hop_ms": int(about["hop_ms"]),
        "left": int(about["context"]["left"]),
        "right": int(about["context"]["right"]),
        "layout": Layout(columns=tuple(about["columns"]), stack=int(about["stack"])),
        "itself": about["alone"] == "itself",
        "int8": bool(about.get("int8")),
        "held_out": {name: (int(hits), int(of)) for name, (hits, of) in (about.get("held_out") or {}).items()},
        "prior": Scaling(
            mean=np.array(prior["mean"], np.float32),
            deviation=np.array(prior["deviation"], np.float32),
            rows=float(prior["rows"] or 0),
        ),
    }
