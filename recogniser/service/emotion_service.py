"""The service ``fedser.emotion.v1.EmotionRecognition``: its calls, and the status that each ends with."""

from __future__ import annotations

from typing import Any

from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.event_messages import model_message
from recogniser.service.open_streams import OpenStreams, Requests
from recogniser.service.refused_stream import RefusedStream

NAME = proto.DESCRIPTOR.services_by_name["EmotionRecognition"].full_name


class EmotionService(emotion_pb2_grpc.EmotionRecognitionServicer):
    """What a server registers.

    Args:
        streams: of the service.
    """

    def __init__(self, streams: OpenStreams) -> None:
        self._streams = streams

    async def GetModel(self, _: proto.GetModelRequest, __: Any) -> proto.Model:  # noqa: N802 - the proto's name
        """What listens."""
        return model_message(self._streams.model)

    async def StreamingRecognize(self, requests: Requests, context: Any) -> None:  # noqa: N802 - the proto's name
        """Live sound; see the proto."""
        try:
            await self._streams.serve(requests, context.write)
            return
        except RefusedStream as refused:
            ending = refused.again()  # gRPC holds on to what it is raised with: to no stream's frames
        await context.abort(ending.status, ending.detail)

    async def Recognize(  # noqa: N802 - the proto's name
        self, request: proto.RecognizeRequest, context: Any
    ) -> proto.RecognizeResponse:
        """Sound that is there already; see the proto."""
        try:
            return await self._streams.recognise(request)
        except RefusedStream as refused:
            ending = refused.again()
        await context.abort(ending.status, ending.detail)
        raise ending
