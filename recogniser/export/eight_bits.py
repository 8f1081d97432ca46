"""A graph whose learnt weights are whole numbers of eight bits, and whose activations become so as it runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from recogniser.export.graphs import NETWORK

_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}  # or its log says that it could be


def in_eight_bits(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with the matrix products and LSTMs of its network in 8 bits; features are computed as before.

    One bit of the weights is left unused: where a processor has no instruction for it, products of two full bytes
    overflow the 16 bits that they are added in.

    An activation's range is that of its whole batch, so that an answer depends a little on its neighbours in it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    onnx.helper.set_model_props(graph, _PREPARED)
    learnt = [node.name for node in graph.graph.node if node.name.startswith(f"{NETWORK}/")]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "quantised.onnx"
        quantize_dynamic(
            graph,
            made,
            op_types_to_quantize=["MatMul", "LSTM"],
            nodes_to_quantize=learnt,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
        return onnx.load(made)
