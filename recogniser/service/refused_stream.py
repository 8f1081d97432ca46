"""A stream that is not served, or no longer: the status that its client is given, and why."""

from __future__ import annotations

import grpc


class RefusedStream(Exception):  # noqa: N818 - no error of ours
    """What ends a stream before its client does.

    Args:
        status: of gRPC.
        detail: what was found, what was expected and what to do, in one line.
    """

    def __init__(self, status: grpc.StatusCode, detail: str) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail

    def again(self) -> RefusedStream:
        """The same, to be raised elsewhere: it holds none of the frames that the first has passed through."""
        return RefusedStream(self.status, self.detail)


def invalid(detail: str) -> RefusedStream:
    """A request that cannot be served as it is."""
    return RefusedStream(grpc.StatusCode.INVALID_ARGUMENT, detail)
