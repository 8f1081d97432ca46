"""The records of ``result.json`` and ``fold.json``, on files that fedser wrote before there were records."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.errors import FedserError, UsageError
from server.records.fold_record import FoldRecord, Round, SiteRound, read_fold
from server.records.scores import StrangerFigures
from server.reporting.findings import largest_epsilon
from server.reporting.result import FoldResult, build
from server.reporting.run_record import Result, load_result
from tests.server.example_result import deployed_result, lean_result, result

KEPT = Path(__file__).parent / "kept"
RESULTS = sorted(path.name for path in KEPT.glob("*.json") if not path.name.startswith("fold-"))
FOLDS = sorted(path.name for path in KEPT.glob("fold-*.json"))


def a_fold() -> FoldRecord:
    return read_fold(KEPT / "fold-simulated.json")


def order_of_keys(value: Any) -> Any:
    """The keys of all objects in their order, without the values."""
    if isinstance(value, dict):
        return [(name, order_of_keys(own)) for name, own in value.items()]
    return [order_of_keys(own) for own in value] if isinstance(value, list) else None


def changed(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads((KEPT / "baselines.json").read_text()) | changes))
    return path


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_that_was_read_is_written_byte_for_byte(name: str) -> None:
    text = (KEPT / name).read_text()
    assert json.dumps(load_result(KEPT / name).as_json(), indent=1) == text


@pytest.mark.parametrize("name", FOLDS)
def test_a_fold_that_was_read_is_written_byte_for_byte(name: str) -> None:
    text = (KEPT / name).read_text()
    assert json.dumps(read_fold(KEPT / name).as_json(), indent=1) == text


@pytest.mark.parametrize("entry", [result(), lean_result(), deployed_result()], ids=["whole", "lean", "deployed"])
def test_absent_keys_and_another_order_are_kept(entry: dict[str, Any]) -> None:
    assert json.dumps(Result.from_json(entry).as_json()) == json.dumps(entry)


@pytest.mark.parametrize("name", ["baselines.json", "private.json", "refit.json"])
def test_a_record_made_here_has_the_keys_and_the_order_of_one_that_was_read(name: str) -> None:
    """Without the keys that it was read with, a record is written as one that a run makes."""
    text = (KEPT / name).read_text()
    whole = forgetful(load_result(KEPT / name)).as_json()
    for key in SINCE:
        assert whole["summary"].pop(key) is None
    written = json.dumps(whole, indent=1)
    assert json.loads(written) == json.loads(text)
    assert list(json.loads(written)) == list(json.loads(text))
    assert list(json.loads(written)["folds"][0]) == list(json.loads(text)["folds"][0])


SINCE = ("stranger", "pooled_stranger")  # keys of a summary that these files are older than


def forgetful(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {field.name: forgetful(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return type(value)(**own | {"keys": ()})
    if isinstance(value, dict):
        return {name: forgetful(own) for name, own in value.items()}
    return tuple(map(forgetful, value)) if isinstance(value, tuple) else value


def test_its_parts_have_names() -> None:
    whole = load_result(KEPT / "baselines.json")
    assert whole.summary is not None
    assert 0 <= whole.summary.uar.mean <= 1
    assert [fold.fold for fold in whole.folds] == ["kfold:2:0", "kfold:2:1"]
    assert [entry.round for entry in whole.folds[1].rounds] == [1, 2]
    assert whole.folds[0].baselines is not None
    assert set(whole.folds[0].baselines.local) == {"site-0", "site-1"}
    assert whole.folder == KEPT
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.command = "other"  # type: ignore[misc]


def test_null_and_absent_are_told_apart() -> None:
    private = load_result(KEPT / "private.json")
    assert private.privacy is not None
    assert private.privacy.sites["federation"].budget is None
    assert '"budget": null' in json.dumps(private.as_json())
    assert "test_sites" not in private.folds[0].as_json()
    unscored = load_result(KEPT / "unscored.json").folds[0]
    assert unscored.test_sites == {"charite": 80, "lausanne": None}
    assert unscored.as_json()["test_sites"]["lausanne"] is None


def test_keys_of_a_later_version_are_kept(tmp_path: Path) -> None:
    timing = {"features_s": 1, "training_s": 2, "waiting_s": 3, "overhead_s": 0, "total_s": 3}
    path = changed(tmp_path, timing=timing, recogniser={"latency": [1, 2]})
    whole = load_result(tmp_path)
    assert whole.unknown == {"recogniser": {"latency": [1, 2]}}
    assert json.dumps(whole.as_json()) == path.read_text()
    assert json.dumps(dataclasses.replace(whole, command="x").as_json()) == path.read_text().replace("fedser x", "x")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"schema": 2}, "it has the schema 2, this fedser reads 1"),
        ({"folds": [{"fold": 3}]}, r"folds\[0\]\.train_speakers is missing"),
        ({"timing": {"features_s": "1"}}, "timing.training_s is missing"),
        ({"summary": 3}, "summary is 3, expected Summary or null"),
        ({"transductive": 1}, "transductive is 1, expected bool or null"),
        ({"config": []}, r"config is \[\], expected an object"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line_that_names_the_key(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    changed(tmp_path, **changes)
    with pytest.raises(
        UsageError, match=f"{found}.*expected the folder of a finished run, or its result.json"
    ) as error:
        load_result(tmp_path)
    assert "\n" not in str(error.value)


def test_where_there_is_no_result_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory; expected the folder of a finished run"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"the whole is \[1\], expected an object"):
        load_result(tmp_path)
    with pytest.raises(FedserError, match="No such file or directory"):
        read_fold(tmp_path / "fold.json")


def test_an_infinite_epsilon_is_read() -> None:
    told = json.loads('{"examples": 1, "loss": NaN, "uar": null, "epsilon": Infinity}')
    assert SiteRound.from_json(told).epsilon == math.inf
    assert json.dumps(SiteRound.from_json(told).as_json()) == json.dumps(told)


def test_a_key_that_is_added_to_a_record_that_was_read_is_written() -> None:
    entry = Round.from_json({"round": 1, "seconds": 2.0, "validation": None, "sites": {}})
    assert dataclasses.replace(entry, refit=3).as_json() == {**entry.as_json(), "refit": 3}


def test_a_result_is_put_together_of_its_folds() -> None:
    whole = load_result(KEPT / "private.json")

    fold = a_fold()
    config = Config().with_values(whole.config)
    made = build(
        config,
        whole.corpus,
        [FoldResult(federated=fold)],
        whole.timing,
        "fedser x",
        split=whole.split or (),
        problems=(),
    )
    assert list(made.as_json()) == list(whole.as_json())
    assert made.folds[0].test == fold.test
    assert made.privacy is not None
    assert fold.privacy is not None
    assert dataclasses.replace(made.privacy, all=None) == fold.privacy
    assert made.privacy.all is not None
    assert (made.privacy.all.delta, made.privacy.all.models) == (1e-5, 1)
    told = pytest.approx(largest_epsilon(fold.privacy), rel=1e-6)  # which another version computed
    assert made.privacy.all.epsilon == told


def with_noise(fold: FoldRecord, *speakers: tuple[tuple[int, ...], ...]) -> FoldRecord:
    """A fold that was scored in one kind of noise, at one level."""
    assert fold.test is not None
    right = sum(own[0][0] + own[1][1] for own in speakers) / sum(sum(map(sum, own)) for own in speakers)
    noise = {"pink": {"10": StrangerFigures(uar=right, wa=right, macro_f1=right)}}
    return dataclasses.replace(
        fold, test=dataclasses.replace(fold.test, noise=noise), noise_counts={"pink": {"10": speakers}}
    )


@pytest.mark.parametrize("counted", [True, False])
def test_a_figure_in_noise_has_an_interval_over_the_speakers_where_each_was_counted(counted: bool) -> None:
    """Of six speakers in two folds each has 1 or 3 of 4 right: between these lies every mean of a resample."""
    whole = load_result(KEPT / "private.json")
    low, high = ((1, 1), (2, 0)), ((2, 0), (1, 1))
    folds = [with_noise(a_fold(), low, high, high), with_noise(a_fold(), low, low, high)]
    if not counted:  # as in folds that an earlier version trained
        folds = [dataclasses.replace(own, noise_counts=None) for own in folds]
    own = [FoldResult(federated=fold) for fold in folds]
    made = build(Config(), whole.corpus, own, whole.timing, "", split=(), problems=())
    assert made.summary is not None
    assert made.summary.noise is not None
    wa = made.summary.noise["pink"]["10"].wa
    assert wa.mean == pytest.approx((7 / 12 + 5 / 12) / 2)
    assert wa.sd == pytest.approx((2 / 12) / math.sqrt(2))
    assert (wa.ci95 is not None) is counted
    if wa.ci95:
        assert 0.25 <= wa.ci95[0] < wa.mean < wa.ci95[1] <= 0.75


def test_a_fold_tells_what_strangers_first_recordings_were_taken_for() -> None:
    whole = load_result(KEPT / "private.json")
    known = {"0": (((1, 2), (0, 3)), ((4, 0), (1, 1))), "all": None}
    folds = [dataclasses.replace(a_fold(), strangers=own) for own in (known, {"0": None, "all": None}, None)]
    own = [FoldResult(federated=fold) for fold in folds]
    made = build(Config(), whole.corpus, own, whole.timing, "", split=(), problems=())
    assert [fold.confusion_first for fold in made.folds] == [((5, 2), (1, 4)), None, None]
    assert "confusion_first" not in made.folds[1].as_json()
