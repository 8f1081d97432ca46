import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import ChainError, FedserError
from common.storage.chained_file import Chain
from common.storage.hash_chain import head_of

ROOT = Path(__file__).parents[3]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another Python process, that has ``Chain`` and ``Path``."""
    imports = "import os, resource, signal, sys, time\nfrom pathlib import Path\n"
    head = imports + "from common.storage.chained_file import Chain\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_lines_are_appended_and_read(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "new" / "folder" / "x.jsonl")
    assert chain.read() == []
    assert not chain.path.exists()
    first = chain.append("a", value=1)
    with chain.lock() as writer:
        writer.append("b", value=0.1)
        writer.append("c", pair=(1, 2))
        assert [entry["kind"] for entry in writer.entries] == ["a", "b", "c"]
    assert chain.read() == Chain(chain.path).read() == writer.entries
    assert chain.read()[0] == first
    assert chain.read()[2]["pair"] == [1, 2]
    assert sorted(path.name for path in chain.path.parent.iterdir()) == ["x.jsonl"]


def test_an_appended_line_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    chain = Chain(tmp_path / "new" / "x.jsonl")
    chain.append("a")
    assert synced == [tmp_path.name, "new", "x.jsonl"]
    chain.append("b")
    assert synced[3:] == ["x.jsonl"]


def test_a_torn_line_is_cut_off_by_the_next_append(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "x.jsonl")
    chain.append("a")
    whole = chain.path.read_bytes()
    chain.append("b", value="ü")
    last = chain.path.read_bytes()[len(whole) :]
    for end in range(len(last)):
        chain.path.write_bytes(whole + last[:end])
        assert [entry["kind"] for entry in Chain(chain.path).read()] == ["a"]
        assert chain.path.read_bytes() == whole + last[:end]  # reading mends nothing
        if end % 40 == 0:
            chain.append("c")
            assert [entry["kind"] for entry in Chain(chain.path).read()] == ["a", "c"]


def test_an_edit_shows_to_one_who_read_it_before(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "x.jsonl")
    chain.append("a")
    chain.append("b")
    assert len(chain.read()) == 2
    chain.path.write_bytes(chain.path.read_bytes().replace(b'"a"', b'"x"'))
    with pytest.raises(ChainError, match=r"x.jsonl: line 1 was edited"):
        chain.read()
    with pytest.raises(ChainError, match=r"line 1 was edited"), chain.lock():
        pytest.fail("locked")
    chain.path.write_bytes(b"")
    assert chain.read() == []


@pytest.mark.parametrize("how", ["replace", "append", "delete"])
def test_a_change_in_spite_of_the_lock_stops_it(tmp_path: Path, how: str) -> None:
    chain = Chain(tmp_path / "x.jsonl")
    chain.append("a")
    with chain.lock() as writer:
        if how == "replace":
            (tmp_path / "y").write_bytes(chain.path.read_bytes())
            (tmp_path / "y").replace(chain.path)
        elif how == "append":
            chain.path.write_bytes(chain.path.read_bytes() * 2)
        else:
            chain.path.unlink()
        with pytest.raises(ChainError, match="was changed or replaced while it was in use; nothing was appended"):
            writer.append("b")


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    path, count, processes = tmp_path / "x.jsonl", 20, 4
    code = f"""
for turn in range({count}):
    with Chain(Path(sys.argv[1])).lock() as writer:
        last = writer.entries[-1]["value"] if writer.entries else 0
        time.sleep(0.001)
        writer.append(sys.argv[2], value=last + 1)
"""
    running = [start(code, path, name) for name in range(processes)]
    assert [process.communicate(timeout=60) for process in running] == [("", "")] * processes
    entries = Chain(path).read()
    assert [entry["value"] for entry in entries] == list(range(1, processes * count + 1))
    assert {entry["kind"] for entry in entries} == {"0", "1", "2", "3"}


def test_a_lock_that_is_held_is_waited_for_no_longer_than_the_timeout(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "x.jsonl", timeout=0.1)
    with Chain(chain.path).lock() as writer:
        began = time.monotonic()
        with pytest.raises(FedserError, match=r"x.jsonl is in use by another process, for 0.1 s or longer; try again"):
            chain.append("b")
        assert time.monotonic() - began < 5
        writer.append("a")
        assert [entry["kind"] for entry in chain.read()] == ["a"]  # reading waits for nobody
    chain.append("b")
    assert [entry["kind"] for entry in chain.read()] == ["a", "b"]


def test_a_killed_process_leaves_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    holder = start("with Chain(Path(sys.argv[1])).lock():\n    print('held', flush=True)\n    time.sleep(60)", path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FedserError, match="in use"):
        Chain(path, timeout=0.1).append("a")
    holder.kill()
    holder.communicate(timeout=30)
    Chain(path, timeout=5).append("a")


def test_a_forked_child_keeps_no_lock_that_its_parent_gave_up(tmp_path: Path) -> None:
    """Workers that are forked during a round live on after it."""
    code = """
chain = Chain(Path(sys.argv[1]), timeout=5)
with chain.lock() as writer:
    child = os.fork()
    if child == 0:
        time.sleep(60)
    writer.append("a")
chain.append("b")
print("appended")
os.kill(child, signal.SIGKILL)
"""
    parent = start(code, tmp_path / "x.jsonl")
    assert parent.communicate(timeout=30)[0] == "appended\n"


def test_a_forked_child_does_not_give_up_its_parents_lock(tmp_path: Path) -> None:
    code = """
chain = Chain(Path(sys.argv[1]), timeout=0.1)
with chain.lock():
    child = os.fork()
    if child == 0:
        raise SystemExit  # which leaves the with statement, in the child
    os.waitpid(child, 0)
    try:
        Chain(chain.path, timeout=0.1).append("a")
    except Exception as error:
        print(type(error).__name__)
"""
    assert start(code, tmp_path / "x.jsonl").communicate(timeout=30)[0] == "FedserError\n"


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_the_chain_as_it_was(tmp_path: Path, room: int) -> None:
    chain = Chain(tmp_path / "x.jsonl")
    chain.append("a")
    whole = chain.path.read_bytes()
    code = f"""
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(whole) + room}, resource.RLIM_INFINITY))
chain = Chain(Path(sys.argv[1]))
with chain.lock() as writer:
    for _ in range(2):
        try:
            writer.append("b")
        except Exception as error:
            print(type(error).__name__, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(Path(sys.argv[1]).stat().st_size)
    if len(sys.argv) > 2:
        writer.append("c")
"""
    message = f"FedserError {chain.path} cannot be written: File too large; free space there or choose another folder"
    for more in ([], ["go on"]):
        out, errors = start(code, chain.path, *more).communicate(timeout=30)
        assert errors == ""
        assert out.splitlines() == [message, message, str(len(whole))]
        assert [entry["kind"] for entry in chain.read()] == (["a", "c"] if more else ["a"])


def test_a_disk_that_fails_to_sync_leaves_the_chain_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(tmp_path / "x.jsonl")
    chain.append("a")
    head = head_of(chain.read())

    def failed(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failed)
        with pytest.raises(FedserError, match=r"x.jsonl cannot be written: Input/output error"):
            chain.append("b")
    assert head_of(Chain(chain.path).read()) == head
    chain.append("c")
    assert [entry["kind"] for entry in chain.read()] == ["a", "c"]


def test_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    code = """
real = os.pwrite
def half(descriptor, data, offset):
    real(descriptor, data[: len(data) // 2], offset)
    os.kill(os.getpid(), signal.SIGKILL)
chain = Chain(Path(sys.argv[1]))
chain.append("a")
os.pwrite = half
chain.append("b")
"""
    path = tmp_path / "x.jsonl"
    killed = start(code, path)
    assert killed.communicate(timeout=30) == ("", "")
    assert killed.returncode == -signal.SIGKILL
    assert not path.read_bytes().endswith(b"\n")
    assert [entry["kind"] for entry in Chain(path).read()] == ["a"]
    Chain(path).append("c")
    assert [entry["kind"] for entry in Chain(path).read()] == ["a", "c"]


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "x.jsonl"):
        with pytest.raises(FedserError, match="cannot be written") as refused:
            Chain(path).append("a")
        assert "\n" not in str(refused.value)
        with pytest.raises(FedserError, match="cannot be read"):
            Chain(path).read()
