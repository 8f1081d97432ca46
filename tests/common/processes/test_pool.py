from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time

import pytest
import torch

from common.errors import FedserError
from common.processes.pool import processes

KILLED = FedserError("a worker was killed")


def end(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads(_: int) -> int:
    return torch.get_num_threads()


def test_each_worker_computes_in_one_thread() -> None:
    with processes(2, KILLED, forked=True) as pool:
        assert list(pool.map(threads, range(4))) == [1] * 4


class Ring:
    """Something of a library whose threads a forked worker does not have; only the collector can let it go."""

    gone = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        Ring.gone += 1


def collect(_: int) -> int:
    gc.collect()
    return Ring.gone


def test_a_worker_lets_nothing_go_that_it_inherited() -> None:
    gc.collect()
    gc.disable()
    try:
        Ring()
        before = Ring.gone
        with processes(1, KILLED, forked=True) as pool:
            assert pool.submit(collect, 0).result() == before
    finally:
        gc.enable()
    assert collect(0) == before + 1


def test_a_worker_that_was_killed_is_told_in_the_callers_words() -> None:
    with pytest.raises(FedserError, match=r"^a worker was killed$"), processes(1, KILLED, forked=True) as pool:
        list(pool.map(end, range(2)))


def test_a_block_that_is_broken_off_waits_for_nothing() -> None:
    def broken_off() -> None:
        with processes(1, KILLED, forked=True) as pool:
            pool.submit(time.sleep, 60)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert time.monotonic() - began < 30


def test_the_other_processes_of_a_program_are_its_own_affair() -> None:
    def broken_off() -> None:
        with processes(1, KILLED, forked=True) as pool:
            pool.submit(threads, 0).result()
            raise KeyboardInterrupt

    other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            broken_off()
        time.sleep(0.1)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()
