from __future__ import annotations

import numpy as np
import pytest

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.frame_blocks import FrameBlocks, FrameSpan, SoundOfFrames, frames_together
from tests.recogniser.speech import RATE, Signal, talk


def in_chunks(model: ExportedModel, sound: Signal, size: int, block: int) -> Signal:
    blocks = FrameBlocks(model, block)
    return np.concatenate([*(blocks.feed(sound[at : at + size]) for at in range(0, len(sound), size)), blocks.end()])


@pytest.mark.parametrize("block", [1, 10, 500])
@pytest.mark.parametrize("size", [137, 1600, 160_000])
def test_frames_do_not_depend_on_how_the_sound_is_cut(model: ExportedModel, block: int, size: int) -> None:
    sound = talk(1)[: 3 * RATE + 77]
    np.testing.assert_allclose(in_chunks(model, sound, size, block), model.frames(sound), atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 1759, 1760, 5000])
def test_single_samples_and_next_to_nothing(model: ExportedModel, samples: int) -> None:
    sound = talk(1)[RATE : RATE + samples]
    expected = model.frames(sound) if samples else np.zeros((0, len(model.layout.columns)))
    np.testing.assert_allclose(in_chunks(model, sound, 1, 10), expected, atol=1e-4)


def test_frames_computed_together_are_those_of_each_sound(model: ExportedModel) -> None:
    sounds = [talk(0)[: 2 * RATE], 30 * talk(1)[: RATE + 77], talk(1)]
    wanted = [(0, 40), (40, 52), (60, 101)]
    spans: list[FrameSpan] = []
    places: list[tuple[int, slice]] = []
    for number, sound in enumerate(sounds):
        own = SoundOfFrames(model)
        own.feed(sound)
        own.end()
        for start, until in wanted:
            own.forget({start})
            spans += own.spans(start, until)
            places.append((number, slice(start, until)))
    assert any(span.whole for span in spans)
    frames = [model.frames(sound) for sound in sounds]
    for (number, place), found in zip(places, frames_together(model, spans), strict=True):
        np.testing.assert_allclose(found, frames[number][place], atol=1e-4)
