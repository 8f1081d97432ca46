"""Worker processes that do not outlive the process that started them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time

_POLL_SECONDS = 0.5


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, even if the parent was killed with SIGKILL.

    For a worker's initializer. A killed parent cannot tell its workers, and a pool's workers hold both ends of their
    queue, so that they would wait on it for ever. Ctrl-C, which a terminal sends to all, is left to the parent; so is
    what a forked worker inherits: to tidy up objects whose threads it does not have, as gRPC's, would crash it.
    """
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(
        target=_watch, args=(parent.pid if parent else os.getppid(),), daemon=True, name="end-with-parent"
    ).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
