"""Whatever one unit's recordings are, a site of a private run trains on the others as before: simulated or deployed."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from dp_accounting.pld import privacy_loss_distribution

from client import deployed, site
from client.site import Site, open_site
from common import protocol
from common.config.settings import Config, flatten
from common.curation.probe import digest_of
from common.data import resident
from common.data.preparation import prepare
from common.errors import CorpusError
from common.features.cache import FeatureCache
from common.privacy.recipe import private_settings
from common.progress import Display
from simulations.engine.fold import local_run_config
from simulations.engine.planning import plans
from simulations.job.simulate import train_job
from tests.client.deployment import node
from tests.common.examples import tone
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job

Row = dict[str, str]
Change = Callable[[Path, list[Row]], set[str]]
UNITS = ("utterance", "speaker")


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    forget()
    yield
    forget()


def forget() -> None:
    """Let each opening read the recordings as they are then."""
    resident.forget()
    site.close_sites()
    deployed._open.clear()


def private(unit: str, **more: object) -> dict[str, Any]:
    own = {**tiny.SMALL, "privacy.unit": unit, "privacy.epsilon": 8.0, "data.held_out": "speaker:00"}
    return private_settings({**own, "data.sites": "1"} | more)


def simulated(manifest: Path, unit: str) -> Site:
    config = Config().with_values({**private(unit), "data.root": str(manifest)})
    selection, cache, folder = resident.listing(config.data), FeatureCache(manifest.parent / "c"), manifest.parent
    with Display() as display:
        skipped = prepare(config, selection, cache, display, workers=0, apart=True)
    [plan] = plans(config, selection, skipped)
    plan.write(folder / "plan.json")
    told = local_run_config(config, folder, folder / "events.jsonl", cache, folder / "ledger")
    return open_site(told, {protocol.PARTITION: 0})


def at_its_own(manifest: Path, unit: str) -> Site:
    """A deployed site, of the same list without the coordinator's speaker, in a strict run, which may tell no more."""
    here = manifest.parent / "s0"
    here.mkdir(exist_ok=True)
    own = [dict(row, path=f"../{row['path']}") for row in rows_of(manifest) if row["speaker"] != "00"]
    write(here / "manifest.csv", own)
    config = Config().with_values(
        {**private(unit), "data.held_out": "", "data.classes": list(tiny.CLASSES), "data.strict": True}
    )
    return open_site(flatten(config), node(manifest.parent, "s0"))


def rows_of(manifest: Path) -> list[Row]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


def write(manifest: Path, rows: list[Row]) -> None:
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def contributions(own: Site) -> dict[str, bytes]:
    """What each training recording adds, by its name."""
    data = own.dataset("train", None)
    return {
        utterance.path.name: versions[0].numpy().tobytes()
        for utterance, versions in zip(data.utterances, data.versions, strict=True)
        if versions
    }


def of(rows: list[Row], speaker: str) -> list[Row]:
    return [row for row in rows if row["speaker"] == speaker]


# Each change is of one unit, the first recording of speaker 03 or that speaker, and says which names may change.
def marked(folder: Path, rows: list[Row]) -> set[str]:
    of(rows, "03")[0]["split"] = "test"
    return {of(rows, "03")[0]["path"]}


def relabelled(folder: Path, rows: list[Row]) -> set[str]:
    of(rows, "03")[0]["emotion"] = "sadness"
    return {of(rows, "03")[0]["path"]}


def broken(folder: Path, rows: list[Row]) -> set[str]:
    (folder / of(rows, "03")[0]["path"]).write_bytes(b"no matrix")
    return {of(rows, "03")[0]["path"]}


def missing(folder: Path, rows: list[Row]) -> set[str]:
    (folder / of(rows, "03")[0]["path"]).unlink()
    return {of(rows, "03")[0]["path"]}


def widened(folder: Path, rows: list[Row]) -> set[str]:
    np.save(folder / of(rows, "03")[0]["path"], np.ones((4, 9), np.float32))
    return {of(rows, "03")[0]["path"]}


def one_frame(folder: Path, rows: list[Row]) -> set[str]:
    np.save(folder / of(rows, "03")[0]["path"], np.ones((1, tiny.FEATURES), np.float32))
    return {of(rows, "03")[0]["path"]}


def of_anothers_bytes(folder: Path, rows: list[Row]) -> set[str]:
    """It becomes a copy of speaker 05's, under another label: by content that one's unit is another too."""
    own, other = of(rows, "03")[0], of(rows, "05")[-1]
    shutil.copy(folder / other["path"], folder / own["path"])
    assert own["emotion"] != other["emotion"]
    return {own["path"], other["path"]}


def added(folder: Path, rows: list[Row]) -> set[str]:
    """A person more, with copies of everything that speaker 05 has, under other labels."""
    new = []
    for row, label in zip(of(rows, "05"), reversed(tiny.CLASSES * 2), strict=True):
        name = f"99{row['path'][2:]}"
        shutil.copy(folder / row["path"], folder / name)
        new.append({**row, "path": name, "speaker": "99", "emotion": label})
    rows += new
    return {row["path"] for row in new}


def removed(folder: Path, rows: list[Row]) -> set[str]:
    gone = of(rows, "03")[0]
    rows.remove(gone)
    return {gone["path"]}


CHANGES = [marked, relabelled, broken, missing, widened, one_frame, of_anothers_bytes, added, removed]


@pytest.mark.parametrize("entry", [simulated, at_its_own])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("change", CHANGES)
def test_one_unit_changes_nothing_of_what_others_contribute(
    tmp_path: Path, entry: Callable[[Path, str], Site], unit: str, change: Change
) -> None:
    manifest = tiny.write(tmp_path / "corpus", speakers=6)
    before, n = contributions(entry(manifest, unit)), entry(manifest, unit).units
    forget()
    rows = rows_of(manifest)
    touched = change(manifest.parent, rows)
    write(manifest, rows)
    if unit == "speaker":  # one recording is a part of its person's unit
        touched |= {row["path"] for row in rows if row["speaker"] in ("03", "99")}
    elif change is added:  # copies are of the contents that were there
        touched |= {row["path"] for row in of(rows, "05")}
    own = entry(manifest, unit)
    after = contributions(own)
    assert {name: made for name, made in after.items() if name not in touched} == {
        name: made for name, made in before.items() if name not in touched
    }
    gone = {
        "utterance": {
            "marked": 1,
            "removed": 1,
            "of_anothers_bytes": 1,
        },  # which the list alone tells, or is one content
        "speaker": {"marked": 1, "added": -1},  # a person who is held out, one more
    }
    assert own.units == n - gone[unit].get(change.__name__, 0)
    assert own.counts()[0] == own.units


def test_a_site_that_is_hidden_is_cleaned_alone(tmp_path: Path) -> None:
    """Of two sites one comes to hold the other's bytes under other labels, and matrices of another width."""
    manifest = tiny.write(tmp_path / "corpus", speakers=6)

    def sites() -> list[Site]:
        forget()
        values = {**private("site"), "data.sites": "2", "data.root": str(manifest), "privacy.delta": 0.01}
        config, cache = Config().with_values(values), FeatureCache(tmp_path / "c")
        selection = resident.listing(config.data)
        with Display() as display:
            skipped = prepare(config, selection, cache, display, workers=0, apart=True)
        [plan] = plans(config, selection, skipped)
        plan.write(tmp_path / "plan.json")
        told = local_run_config(config, tmp_path, tmp_path / "events.jsonl", cache, tmp_path / "ledger")
        return [open_site(told, {protocol.PARTITION: number}) for number in (0, 1)]

    one, other = sites()
    before, theirs = contributions(one), {item.utterance.speaker for item in other.holding.train}
    rows = rows_of(manifest)
    copied = [row for row in rows if row["speaker"] in theirs]
    for row, origin in zip(copied, reversed([row for row in rows if row["path"] in before]), strict=False):
        shutil.copy(manifest.parent / origin["path"], manifest.parent / row["path"])
    for row in copied[-4:]:
        np.save(manifest.parent / row["path"], np.ones((4, 9), np.float32))
    assert contributions(sites()[0]) == before


@pytest.mark.parametrize("entry", [simulated, at_its_own])
@pytest.mark.parametrize("unit", UNITS)
def test_a_site_none_of_whose_recordings_can_be_used_still_has_its_units(
    tmp_path: Path, entry: Callable[[Path, str], Site], unit: str
) -> None:
    manifest = tiny.write(tmp_path / "corpus", speakers=6)
    for row in rows_of(manifest):
        if row["speaker"] != "00":
            (manifest.parent / row["path"]).write_text(f"no matrix {row['path']}")
    own = entry(manifest, unit)
    assert own.units == {"utterance": 40, "speaker": 5}[unit]
    assert (own.recordings, own.speakers()[0], contributions(own)) == (40, 5, {})


def doubled(manifest: Path, times: int) -> None:
    """List every recording again, as itself and under other names."""
    rows = rows_of(manifest)
    more = list(rows)
    for number in range(1, times):
        for row in rows:
            name = f"copy-{number}-{row['path']}"
            shutil.copy(manifest.parent / row["path"], manifest.parent / name)
            more.append({**row, "path": name})
    write(manifest, [*more, *rows])


def run(manifest: Path, out: Path, unit: str) -> Mapping[str, Any]:
    own = private(unit, **{"privacy.insecure_seed": True, "data.held_out": "kfold:4:0", "data.sites": "2"})
    with Display() as display:
        train_job(job(manifest, out, **{name.replace(".", "__"): value for name, value in own.items()}), display)
    told: Mapping[str, Any] = json.loads((out / "result.json").read_text())
    return told


def true_epsilon(figures: Mapping[str, Any], copies: int, delta: float) -> float:
    """ε of one content that ``copies`` of the sampled units are, by Google's accountant for mixtures of Gaussians."""
    q, count = figures["sample_rate"], range(copies + 1)
    binomial = [{0: 1}, {0: 1, 1: 1}, {0: 1, 1: 2, 2: 1}][copies]
    made = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        standard_deviation=figures["noise_multiplier"],
        sensitivities=[float(k) for k in count],
        sampling_probs=[binomial[k] * q**k * (1 - q) ** (copies - k) for k in count],
        value_discretization_interval=1e-2,
    )
    return float(made.self_compose(figures["steps"]).get_epsilon_for_delta(delta))


@pytest.mark.parametrize("unit", UNITS)
def test_ten_copies_of_every_recording_are_the_run_of_one(tmp_path: Path, unit: str) -> None:
    manifest = tiny.write(tmp_path / "corpus", each=1)
    once = run(manifest, tmp_path / "once", unit)
    forget()
    doubled(manifest, 10)
    often = run(manifest, tmp_path / "often", unit)
    assert often["folds"][0]["privacy"] == once["folds"][0]["privacy"]
    one, other = (safetensors.numpy.load_file(tmp_path / name / "model.safetensors") for name in ("once", "often"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_epsilon_that_is_told_of_a_list_with_copies_is_true(tmp_path: Path) -> None:
    """A copy that was a unit of its own made 8 of what was 19."""
    manifest = tiny.write(tmp_path / "corpus", each=1)
    doubled(manifest, 2)
    told = run(manifest, tmp_path / "run", "utterance")["folds"][0]["privacy"]
    forget()
    own = simulated(manifest, "utterance")
    trained = Counter(digest_of(item.utterance) for item in own.holding.train if item.versions)
    copies = max(trained.values())
    figures = told["sites"]["site-0"]
    assert true_epsilon(figures, copies, figures["delta"]) <= figures["epsilon"] + 0.05 <= 8.06
    assert true_epsilon(figures, 2, figures["delta"]) > 15


@pytest.mark.parametrize("entry", [simulated, at_its_own])
def test_overlapping_stretches_are_refused_before_anything_is_trained(
    tmp_path: Path, entry: Callable[[Path, str], Site]
) -> None:
    rows = []
    for speaker in ("00", "01", "02"):
        for number, emotion in enumerate(tiny.CLASSES):
            path = tone(tmp_path / f"corpus/{speaker}-{emotion}.wav", seconds=1.0, seed=number)
            own = {"path": path.name, "emotion": emotion, "speaker": speaker}
            rows += [{**own, "start": f"{k / 20}", "end": f"{k / 20 + 0.5}"} for k in range(3)]
    manifest = tmp_path / "corpus/manifest.csv"
    write(manifest, rows)
    with pytest.raises(CorpusError, match=r"0\.05 to 0\.55 s overlaps 0 to 0\.5 s of the same file, and \d+ stretches"):
        entry(manifest, "utterance")
    forget()
    assert entry(manifest, "speaker").units == 2


def test_the_pair_of_identical_files_that_ravdess_has_is_one_unit(tmp_path: Path) -> None:
    root = tmp_path / "ravdess"
    for actor in (1, 2, 3):
        for emotion in ("03", "05"):
            for take in (1, 2):
                name = f"Actor_{actor:02}/03-01-{emotion}-01-01-{take:02}-{actor:02}.wav"
                tone(root / name, seed=100 * actor + 10 * int(emotion) + take)
    pair = [root / f"Actor_02/03-01-05-01-01-{take:02}-02.wav" for take in (1, 2)]
    values = {**private("utterance"), "data.corpus": "ravdess", "data.held_out": "speaker:01", "data.root": str(root)}
    config = Config().with_values({**values, "features.mfcc": 4, "features.deltas": 0, "features.pitch": False})

    def units() -> list[str]:
        forget()
        selection, cache = resident.listing(config.data), FeatureCache(tmp_path / "c")
        [plan] = plans(config, selection, [])
        plan.write(tmp_path / "plan.json")
        told = local_run_config(config, tmp_path, tmp_path / "events.jsonl", cache, tmp_path / "ledger")
        own = open_site(told, {protocol.PARTITION: 0})
        assert own.units == len(own.holding.train)
        return [item.utterance.path.name for item in own.holding.train]

    assert len(units()) == 8
    shutil.copy(*pair)
    assert len(units()) == 7
    assert pair[1].name not in units()
