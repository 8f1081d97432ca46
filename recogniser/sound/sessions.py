"""ONNX Runtime, on one thread: many streams share a machine, and each has its own."""

from __future__ import annotations

from typing import Any

from common.errors import FedserError


def open_session(content: bytes, name: object) -> Any:
    """A model that is ready to run.

    Args:
        content: of an ONNX file.
        name: what to call it where it is none.

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
    options.enable_cpu_mem_arena = False  # it would keep the most that any sound has taken
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, which derive from nothing but Exception
        said = " ".join(str(error).split())[:200]
        raise FedserError(f"{name} is no model that ONNX Runtime reads ({said})") from None
