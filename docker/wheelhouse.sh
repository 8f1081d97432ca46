#!/usr/bin/env bash
# Fills docker/wheelhouse with every wheel that the images hold, so that they build without a network: docker/wheelhouse.sh
# Uses the pip of Python 3.11 on this machine (PYTHON=…), with its own settings: index, certificates, links.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly HOUSE=docker/wheelhouse PYTHON=${PYTHON:-python3}
readonly CPU_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

# What is asked for, a line each: the dependencies in pyproject.toml, those of what the images do, and what installs the
# project as editable.
requirements() {
  "$PYTHON" - << 'PYTHON'
import tomllib
with open("pyproject.toml", "rb") as file:
    content = tomllib.load(file)
extras = content["project"]["optional-dependencies"]
print(*content["project"]["dependencies"], *extras["train"], *extras["recogniser"], sep="\n")
print(*content["build-system"]["requires"], sep="\n")
PYTHON
}

stamp() {
  { requirements; cat constraints.txt; "$PYTHON" -VV; } | sha256sum
}

# torch as a CPU wheel, whatever the default index would give: a CUDA build is ten times its size.
fetch_torch() {
  local pin
  pin=$(grep '^torch==' constraints.txt)
  find "$HOUSE" -name 'torch-*+cpu-*' | grep -q . && return
  "$PYTHON" -m pip wheel -qq --no-deps --wheel-dir "$HOUSE" "$pin+cpu" 2> /dev/null ||
    "$PYTHON" -m pip wheel -qq --no-deps --wheel-dir "$HOUSE" --extra-index-url "$CPU_INDEX" "$pin+cpu"
}

# One file of it is used, and none of what it asks for.
fetch_gate() {
  "$PYTHON" -m pip wheel -qq --no-deps --wheel-dir "$HOUSE" "$(grep '^silero-vad==' constraints.txt)"
}

fetch_all() {
  requirements | PIP_FIND_LINKS="$HOUSE ${PIP_FIND_LINKS:-}" "$PYTHON" -m pip wheel -qq --wheel-dir "$HOUSE" \
    --constraint constraints.txt --requirement /dev/stdin
}

refuse_cuda() {
  if find "$HOUSE" -iname 'nvidia*' -o -iname 'cuda*' -o -iname 'triton*' | grep .; then
    echo "wheelhouse: the wheels above are CUDA's; an image without a GPU has no use for them" >&2
    return 1
  fi
}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
  { echo "wheelhouse: the images hold Python 3.11, $PYTHON is another; set PYTHON" >&2; exit 1; }
if [ "$(stamp)" != "$(cat "$HOUSE/.stamp" 2> /dev/null)" ]; then
  rm -f "$HOUSE"/*.whl
  fetch_torch
  fetch_all
  fetch_gate
  refuse_cuda
  stamp > "$HOUSE/.stamp"
fi
(cd "$HOUSE" && sha256sum -- *.whl > SHA256SUMS)  # goes into the images, and with the kits
echo "wheelhouse: $(find "$HOUSE" -name '*.whl' | wc -l) wheels, $(du -sm "$HOUSE" | cut -f1) MB"
