"""What a run changes for its whole process, put back when it ends: a library's call leaves nothing behind.

The command owns its process, and sets what suits it. A call from Python is a guest: torch's threads, the loggers, the
warnings' filters, the generators of random numbers, the environment, the working directory and the signals are
afterwards what they were before, also where the run failed. Not put back are modules that were imported.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator

from common.processes.writable_home import provide_home
from common.progress import Display, log_handler

IMPORTED = ("torch", "numpy", "flwr.serverapp", "simulations.job.start")  # importing sets up loggers, and warns

_ONE_AT_A_TIME = threading.RLock()  # what is put back is the process's: a second thread's call waits for the first


@contextlib.contextmanager
def restore_process(*, silent: bool) -> Iterator[Display]:
    """At the end of the block put back what was changed in the process within it.

    Where the program has set up logging, fedser's messages go there; else, unless it is silent, to standard error.

    Args:
        silent: print nothing, on standard output or standard error.

    Yields:
        What shows the progress.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        stack.enter_context(_environment())
        provide_home()
        stack.enter_context(_signals())
        stack.enter_context(warnings.catch_warnings())
        if silent:
            warnings.simplefilter("ignore")
        stack.enter_context(_loggers())
        display = Display(silent=silent)
        if not logging.root.handlers:  # and none is added meanwhile: some libraries do so where there is none
            logging.getLogger("fedser").setLevel(logging.INFO)
            logging.root.addHandler(logging.NullHandler() if silent else log_handler(display.console))
        for name in IMPORTED:
            importlib.import_module(name)
        stack.enter_context(_loggers())  # Flower's own, which its import has made
        stack.enter_context(_numbers())
        stack.enter_context(_flower())
        yield stack.enter_context(display)


@contextlib.contextmanager
def _flower() -> Iterator[None]:
    """Flower speaks of errors alone, through the program's own logging."""
    from common.flower.internals import keep_identity

    logger = logging.getLogger("flwr")
    logger.handlers[:] = []
    logger.setLevel(logging.ERROR)
    with keep_identity():
        yield


@contextlib.contextmanager
def _loggers() -> Iterator[None]:
    """The handlers and levels of the loggers that there are."""
    there = [log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    before = [(log, log.level, log.propagate, log.disabled, [*log.handlers]) for log in (logging.root, *there)]
    try:
        yield
    finally:
        for log, level, propagate, disabled, handlers in before:
            log.setLevel(level)
            log.propagate, log.disabled = propagate, disabled
            log.handlers[:] = handlers


@contextlib.contextmanager
def _numbers() -> Iterator[None]:
    """Torch's threads, and the state of the global generators of random numbers."""
    import numpy as np
    import torch

    threads, states = torch.get_num_threads(), (torch.get_rng_state(), np.random.get_state(), random.getstate())
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The environment's variables, and the working directory."""
    variables, here = dict(os.environ), os.open(".", os.O_RDONLY)  # the folder itself: it may have been renamed
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """What answers signals; only the main thread may set that."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if signal.getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)
