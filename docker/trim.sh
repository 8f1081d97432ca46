#!/bin/sh
# Takes out of a virtual environment what runs nothing: headers, tests, tools that compile or install. docker/trim.sh VENV
set -eu
cd "$1"/lib/python3*/site-packages
if [ -d torch ]; then find torch/bin -type f ! -name torch_shm_manager -delete; fi
rm -rf torch/include torch/share torch/test
rm -rf pip pip-* setuptools/tests tensorboard_data_server/bin
# Flower would install an app's wishes with uv; runtime installs are off, and nothing is here that could do them.
rm -f "$1"/bin/uv "$1"/bin/uvx "$1"/bin/pip*
# torchaudio's compiled parts are linked to CUDA and cannot load; common/audio/torchaudio.py does without.
if [ -d torchaudio ]; then find torchaudio -name '*.so' -delete; fi
# Of the speech gate's package one file is used; of ONNX Runtime none of the tools that change or quantise a graph.
rm -rf onnxruntime/tools onnxruntime/transformers onnxruntime/quantization
if [ -d silero_vad ]; then find silero_vad/data -type f ! -name 'silero_vad_16k_sequence.onnx' -delete; fi
for package in numba scipy sklearn sympy networkx matplotlib numpy librosa; do
  if [ -d "$package" ]; then find "$package" -type d -name tests -prune -exec rm -rf {} +; fi
done
