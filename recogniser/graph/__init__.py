"""The arithmetic of features and models written down as ONNX graphs by hand: numpy in, nodes out, no exporter."""
