#!/bin/sh
# Takes out of a virtual environment what runs nothing: headers, tests, tools that compile or install. docker/trim.sh VENV
set -eu
cd "$1"/lib/python3*/site-packages
find torch/bin -type f ! -name torch_shm_manager -delete
rm -rf torch/include torch/share torch/test
rm -rf pip pip-* setuptools/tests tensorboard_data_server/bin
# Flower would install an app's wishes with uv; runtime installs are off, and nothing is here that could do them.
rm -f "$1"/bin/uv "$1"/bin/uvx "$1"/bin/pip*
# torchaudio's compiled parts are linked to CUDA and cannot load; common/audio/torchaudio.py does without.
find torchaudio -name '*.so' -delete
for package in numba scipy sklearn sympy networkx matplotlib numpy librosa; do
  find "$package" -type d -name tests -prune -exec rm -rf {} +
done
