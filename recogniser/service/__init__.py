"""The recogniser over gRPC: ``fedser serve``, for live streams and short recordings, with the proto that it speaks."""
