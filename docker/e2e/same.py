"""Whether two models have the same weights to 1e-5: python same.py A.safetensors B.safetensors."""

from __future__ import annotations

import sys

from safetensors.numpy import load_file

TOLERANCE = 1e-5

a, b = (load_file(path) for path in sys.argv[1:3])
if a.keys() != b.keys():
    sys.exit(f"other arrays: {sorted(a.keys() ^ b.keys())}")
worst = max(float(abs(a[name] - b[name]).max()) for name in a)
sys.stdout.write(f"the largest difference is {worst:.1e}\n")
sys.exit(worst > TOLERANCE)
