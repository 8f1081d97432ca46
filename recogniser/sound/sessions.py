"""ONNX Runtime, on one thread: many streams share a machine, and each has its own."""

from __future__ import annotations

from typing import Any

from common.errors import FedserError


def open_session(path: str) -> Any:
    """A model that is ready to run.

    Args:
        path: of an ONNX file.

    Raises:
        FedserError: ONNX Runtime is not installed, or does not read the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise FedserError("this needs ONNX Runtime: pip install 'fedser[recogniser]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, which derive from nothing but Exception
        said = " ".join(str(error).split())[:200]
        raise FedserError(f"{path} is no model that ONNX Runtime reads ({said})") from None
