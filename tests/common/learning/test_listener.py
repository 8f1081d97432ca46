"""A model that listens to one speaker: in turn, together, and from what a profile has of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from common.config.settings import Config, FeatureConfig
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.data.strangers import conditions
from common.errors import AudioError, UsageError
from common.features.extractor import dimension
from common.learning.prediction import Labelled, Read, listening, predict, read_file
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model
from common.utterance import Utterance
from tests.common.examples import tone

SMALL = {"features.mfcc": 4, "features.deltas": 0, "features.pitch": False, "features.stack": 1}
TINY = {"model.projection": 6, "model.hidden": 5, "model.attention": 4}
CLASSES = ("anger", "neutral", "sadness")
WIDTH = dimension(FeatureConfig(mfcc=4, deltas=0, pitch=False, stack=1))


def saved(mode: str = "running", epsilon: float = float("inf")) -> SavedModel:
    config = Config().with_values({**SMALL, **TINY, "data.normalise": mode, "privacy.epsilon": epsilon})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(WIDTH, len(CLASSES), config).eval()
    scaling = Scaling(mean=torch.full((WIDTH,), -3.0), deviation=torch.full((WIDTH,), 20.0), weight=40.0)
    return SavedModel(model=model, scaling=scaling, config=config, classes=CLASSES)


@pytest.fixture
def voices(tmp_path: Path) -> list[Path]:
    """Three sounds and a matrix of one speaker."""
    sounds = [tone(tmp_path / f"{n}.wav", hz=150 + 90 * n, seconds=0.3 + 0.1 * n, seed=n) for n in range(3)]
    matrix = np.random.default_rng(0).normal(5.0, 9.0, size=(7, WIDTH))
    np.save(tmp_path / "3.npy", matrix)
    return [*sounds, tmp_path / "3.npy"]


def reads(model: SavedModel, paths: list[Path]) -> list[Read]:
    return [partial(read_file, model, path) for path in paths]


def silent(*told: object) -> None:
    raise AssertionError(told)


def label(model: SavedModel, paths: list[Path], profile: Path | None = None, together: bool = False) -> list[Labelled]:
    with listening(model, profile, silent) as listener:
        return list((listener.together if together else listener.in_turn)(reads(model, paths), silent))


def by_hand(model: SavedModel, paths: list[Path], name: str) -> list[dict[str, float]]:
    """As a run scores the speaker's recordings under a condition."""
    own = [Utterance(path=path, emotion="anger", speaker="s", corpus="c") for path in paths]
    features = [read_file(model, path, silent).versions for path in paths]
    recordings = [Recording(utterance=u, versions=v) for u, v in zip(own, features, strict=True)]
    [scaled] = [found for names, found in conditions(recordings, model.config, model.scaling) if name in names]
    with torch.no_grad():
        rows = [recording.versions[0] for recording in scaled]
        logits = [model.model(own[None], torch.tensor([len(own)]))[0] for own in rows]
    return [dict(zip(CLASSES, torch.softmax(one, 0).tolist(), strict=True)) for one in logits]


def found(labelled: list[Labelled]) -> list[dict[str, float]]:
    return [one.probabilities() for one in labelled]


@pytest.mark.parametrize("model", [saved(), saved("speaker"), saved("speaker", epsilon=8.0)])
def test_together_is_what_a_run_scores_once_all_is_heard(voices: list[Path], model: SavedModel) -> None:
    told = found(label(model, voices, together=True))
    for one, other in zip(told, by_hand(model, voices, "all"), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    for one, path in zip(told, voices, strict=True):
        assert one != pytest.approx(predict(model, path), abs=1e-4)


@pytest.mark.parametrize("mode", ["running", "speaker", "utterance", "global", "public"])
def test_alone_is_what_a_run_scores_of_a_stranger(voices: list[Path], mode: str) -> None:
    model = saved(mode)
    for path, other in zip(voices, by_hand(model, voices, "0"), strict=True):
        assert predict(model, path) == pytest.approx(other, abs=1e-6)


def test_in_turn_each_is_scaled_after_those_before_it_and_not_itself(voices: list[Path], tmp_path: Path) -> None:
    model = saved()
    labelled = label(model, voices, tmp_path / "p.json")
    assert [one.number for one in labelled] == [0, 1, 2, 3]
    assert labelled[0].probabilities() == predict(model, voices[0])
    rows = [one.heard for one in labelled if one.heard is not None]
    assert (rows[0], len(rows)) == (0, 4)
    assert rows == sorted(set(rows))
    for number in range(1, len(voices)):
        with listening(model, None, silent) as listener:
            list(listener.together(reads(model, voices[:number]), silent))
            [alone] = listener.in_turn(reads(model, voices[number : number + 1]), silent)
        assert alone.probabilities() == labelled[number].probabilities()


def test_a_profile_goes_on_where_it_ended(voices: list[Path], tmp_path: Path) -> None:
    model = saved()
    at_once = label(model, voices, tmp_path / "once.json")
    in_parts = [*label(model, voices[:1], tmp_path / "p.json"), *label(model, voices[1:], tmp_path / "p.json")]
    assert found(in_parts) == found(at_once)
    assert (tmp_path / "p.json").read_bytes() == (tmp_path / "once.json").read_bytes()
    label(model, voices[:2], tmp_path / "q.json", together=True)
    rest = found(label(model, voices[2:], tmp_path / "q.json", together=True))
    assert rest == found(label(model, voices, together=True))[2:]


def test_one_that_cannot_be_used_is_named_and_not_heard(voices: list[Path], tmp_path: Path) -> None:
    model, broken = saved(), tmp_path / "broken.wav"
    broken.write_text("no audio")
    with_it = [voices[0], broken, *voices[1:]]
    for together in (False, True):
        without = label(model, voices, tmp_path / f"{together}.json", together)
        labelled = label(model, with_it, tmp_path / f"{together}-with.json", together)
        assert [one.number for one in labelled if isinstance(one.found, AudioError)] == [1]
        assert found([one for one in labelled if one.number != 1]) == found(without)
    assert (tmp_path / "True.json").read_bytes() == (tmp_path / "True-with.json").read_bytes()
    assert not (tmp_path / "none.json").exists()
    label(model, [broken], tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()  # nothing was heard


def test_no_more_than_one_recordings_features_are_held(voices: list[Path]) -> None:
    model, alive = saved(), list[weakref.ref[Recording]]()

    def read(path: Path, say: Callable[[str], None]) -> Recording:
        assert sum(one() is not None for one in alive) <= 1  # the one before
        recording = read_file(model, path, say)
        alive.append(weakref.ref(recording))
        return recording

    with listening(model, None, silent) as listener:
        assert len(list(listener.together([partial(read, path) for path in voices * 3], silent))) == 12
    assert len(alive) == 24


def test_what_is_to_be_said_of_a_recording_is_said_once(voices: list[Path]) -> None:
    model, lines = saved(), list[tuple[int, str]]()

    def read(say: Callable[[str], None]) -> Recording:
        say("long")
        return read_file(model, voices[0], say)

    with listening(model, None, silent) as listener:
        list(listener.together([*reads(model, voices), read], lambda *told: lines.append(told)))
    assert lines == [(4, "long")]


@pytest.mark.parametrize(
    ("model", "how"),
    [
        (saved("global"), "with --normalise global"),
        (saved("utterance"), "with --normalise utterance"),
        (saved("public"), "with --normalise public"),
        (saved("utterance", epsilon=8.0), "privately, with --normalise utterance"),
        (saved("running", epsilon=8.0), "privately, with --normalise running"),  # it has no prior
    ],
)
def test_what_does_not_adapt_says_so_and_keeps_nothing(
    voices: list[Path], tmp_path: Path, model: SavedModel, how: str
) -> None:
    lines, once = list[str](), iter(reads(model, voices))

    def read(say: Callable[[str], None]) -> Recording:
        return next(once)(say)

    with listening(model, None, lines.append) as listener:
        labelled = list(listener.together([read] * len(voices), silent))  # a second time there is nothing to read
    assert found(labelled) == [predict(model, path) for path in voices]
    assert {one.heard for one in labelled} == {None}
    assert lines == [f"--together changes nothing: the model was trained {how}, and does not adapt to a speaker"]
    with pytest.raises(UsageError, match=rf"p\.json: the model was trained {how}, and keeps nothing of a speaker"):
        label(model, voices, tmp_path / "p.json")
    assert not (tmp_path / "p.json").exists()


def test_by_speaker_there_is_nothing_to_keep_in_turn(voices: list[Path], tmp_path: Path) -> None:
    for model in (saved("speaker"), saved("speaker", epsilon=8.0)):
        with pytest.raises(UsageError, match="--normalise speaker, and keeps nothing of a speaker; expected one that"):
            label(model, voices, tmp_path / "p.json")


def test_an_error_keeps_what_the_profile_was(voices: list[Path], tmp_path: Path) -> None:
    model, path = saved(), tmp_path / "p.json"
    label(model, voices[:1], path)
    before = path.read_bytes()

    def interrupt(_: Callable[[str], None]) -> Recording:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(model, path, silent) as listener:
        list(listener.in_turn([*reads(model, voices), interrupt], silent))
    assert path.read_bytes() == before
