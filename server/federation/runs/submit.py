"""Flower's runs at this machine's SuperLink: start one, ask how it is, stop it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
from flwr.common.constant import Status, SubStatus
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest, StopRunRequest
from flwr.supercore.fab import Fab

from common.config.settings import Scalar
from common.errors import FederationError
from server.federation.folder.coordinator_folder import Folder
from server.federation.service import superlink

UNKNOWN = httpx.codes.NOT_FOUND
FAILED = "ServerApp failed with exception: "  # how Flower begins what an app's exception says


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How a Flower run is.

    Attributes:
        ended: it goes on no more.
        completed: it ended by itself, and well.
        stopped: someone stopped it.
        why: what its ServerApp, or Flower, said of its failure.
    """

    ended: bool
    completed: bool = False
    stopped: bool = False
    why: str = ""


class Runs:
    """The runs at the SuperLink; every question raises ConnectionError where it doesn't answer.

    Args:
        folder: the coordinator's.
    """

    def __init__(self, folder: Folder) -> None:
        self._client = superlink.connect(folder)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def start(self, bundle: bytes, settings: Mapping[str, Scalar]) -> int:
        """Hand in a bundle.

        Args:
            bundle: the app, as ``common.flower.bundle`` builds it.
            settings: the run config.

        Returns:
            Flower's number of the run.

        Raises:
            FederationError: Flower refuses the bundle or the settings.
        """
        fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
        request = StartRunRequest(fab=fab_to_proto(fab), override_config=user_config_to_proto(dict(settings)))
        try:
            with _reach():
                return self._client.StartRun(request).run_id
        except httpx.HTTPStatusError as error:
            raise FederationError(f"Flower refuses the run: {error.response.text[:300]}") from None

    def progress(self, number: int) -> Progress:
        """How a run is; one that the SuperLink doesn't know, as after a loss of its database, has ended."""
        try:
            with _reach():
                status = self._client.ListRuns(ListRunsRequest(run_id=number)).run_dict[number].status
        except httpx.HTTPStatusError as error:
            if error.response.status_code != UNKNOWN:
                raise ConnectionError(str(error)) from None
            return Progress(ended=True, why="the SuperLink doesn't know the run")
        if status.status != Status.FINISHED:
            return Progress(ended=False)
        how = status.sub_status
        return Progress(
            ended=True,
            completed=how == SubStatus.COMPLETED,
            stopped=how == SubStatus.STOPPED,
            why=status.details.removeprefix(FAILED).strip(),
        )

    def stop(self, number: int) -> None:
        """End a run; one that has ended stays as it is."""
        with contextlib.suppress(httpx.HTTPStatusError), _reach():
            self._client.StopRun(StopRunRequest(run_id=number))


@contextlib.contextmanager
def _reach() -> Iterator[None]:
    try:
        yield
    except httpx.RequestError as error:
        raise ConnectionError(str(error)) from None
