"""From a trained model to files that ONNX Runtime runs: reads a run, builds the graphs, refuses what differs."""
