"""What a clinic listens with: a trained model on long recordings and live sound, through ONNX Runtime alone.

No part of the bundle that sites are sent. Nothing here imports torch, but ``recogniser.export``, which reads a run.
"""
