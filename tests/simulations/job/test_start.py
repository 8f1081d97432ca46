"""Going on with a run whose recordings were moved, or that somebody else is going on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.data.resident import forget
from common.errors import UsageError
from common.progress import Display
from server.reporting.run_record import Result
from simulations.engine.output import hold, read_run_settings
from simulations.job.start import Start, carry_out, job_of
from tests.simulations import tiny


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    yield
    forget()


def begin(**wishes: object) -> Result:
    own = {"out": None, "resume": None, "overwrite": False, "engine": None, "workers": 0, "baselines": False}
    wish = Start(**{"flags": {}, "command": "fedser x", **own, **wishes})  # type: ignore[arg-type]
    forget()
    with Display() as display:
        return carry_out(job_of(wish), wish, display)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run of 63 recordings and one that is broken."""
    manifest = tiny.write(tmp_path / "corpus")
    (tmp_path / "corpus" / "00-anger-0.npy").write_bytes(b"no matrix")
    begin(out=tmp_path / "out", flags={**tiny.SMALL, "data.root": str(manifest)})
    return tmp_path / "out"


def test_recordings_that_were_moved_are_found_where_root_says(out: Path) -> None:
    folder = out.parent
    (folder / "corpus").rename(folder / "moved")
    with pytest.raises(UsageError, match=r"are not at .*corpus/manifest.csv any more; say where they are, --root NEW$"):
        begin(resume=out)
    with pytest.raises(UsageError, match=r"give none but --root"):
        begin(resume=out, flags={"data.root": str(folder / "moved" / "manifest.csv"), "seed": 5})
    again = begin(resume=out, flags={"data.root": str(folder / "moved" / "manifest.csv")}, baselines=True)
    assert again.corpus.skipped == 1
    assert read_run_settings(out)["data.root"] == str(folder / "moved" / "manifest.csv")
    begin(resume=out)


def test_other_recordings_are_not_those_of_the_run(out: Path) -> None:
    other = tiny.write(out.parent / "other", seed=1)
    with pytest.raises(UsageError, match=r"not those that the run was started with \(64 can be used, then 63\)"):
        begin(resume=out, flags={"data.root": str(other)})


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_a_run_that_somebody_is_at_is_left_as_it_is(out: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = str(out.parent / "corpus" / "manifest.csv")
    wishes: dict[str, dict[str, object]] = {
        "resume": {"resume": out},
        "overwrite": {"out": out, "overwrite": True, "flags": {"data.root": manifest}},
    }
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("fcntl.lockf", refuse)  # a record lock never refuses the process that has it
    with pytest.raises(UsageError, match="is in use by another fedser simulate"):
        begin(**wishes[how])
    monkeypatch.undo()
    with hold(out):
        pass
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def refuse(*_: object) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")
