"""A Ray cluster on this machine that ends with the process that started it, however that ends.

Ray's own processes leave their parent's group, and two of them outlive a parent that is killed by a minute and more. So
the cluster's head runs under ``common.processes.subreaper``, which ends all of them.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from common.errors import FederationError
from common.processes import subreaper

STORE_BYTES = 128 * 1024**2  # parts hand over paths; Ray would take a third of the memory for a store


class LocalRay:
    """A cluster of so many cores; ``stop`` ends it.

    Args:
        cores: how many pieces of work it does at once.

    Attributes:
        address: where it listens.

    Raises:
        FederationError: it didn't start.
    """

    def __init__(self, cores: int) -> None:
        head = subreaper.command(sys.executable, "-m", __name__, str(cores))
        self._process = subprocess.Popen(head, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.address = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not self.address:
            self.stop()
            raise FederationError("--engine ray: Ray's cluster on this machine did not start; what it says is above")

    def stop(self) -> None:
        """End all of its processes."""
        self._process.terminate()
        self._process.wait()


def serve(cores: int) -> None:
    """Be a cluster's head until this process is ended; its address is the one line on standard output."""
    import ray

    ray.init(num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False)
    print(ray.get_runtime_context().gcs_address, flush=True)  # noqa: T201 - the parent reads it
    signal.pause()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
