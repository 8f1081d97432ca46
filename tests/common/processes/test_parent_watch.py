import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import time
from concurrent.futures import ProcessPoolExecutor
from common.processes.parent_watch import end_with_parent
with ProcessPoolExecutor(2, initializer=end_with_parent) as pool:
    futures = [pool.submit(time.sleep, 600) for _ in range(2)]
    print(*pool._processes, flush=True)
    time.sleep(600)
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_workers_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    time.sleep(0.5)
    assert len(workers) == 2
    assert all(map(running, workers))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running, workers))
