"""What privacy costs: a whole step of DP-SGD on a BiLSTM beside a plain step, and beside Opacus's own layer."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.validate import in_range
from simulations.speed.training_steps import CLASSES, CONTENDERS, FEATURES, Step, ours

BATCH, FRAMES = 32, 300
SHAPES = ((64, 1), (64, 2), (128, 1), (128, 2))  # hidden units, layers


def run(repeats: int = 10, shapes: Sequence[tuple[int, int]] = SHAPES) -> list[dict[str, Any]]:
    """Time every contender's step on one thread, taking turns in one process; the fastest of each counts.

    A step is everything from the batch to the new weights: forward, backward, norms by sample, clipping, noise, Adam.
    ``plain`` is ``nn.LSTM`` without privacy, on full-length batches, the fused kernel's best case; ``ours`` is the
    private layer with the mechanism that ships, cryptographic noise and all; ``opacus_hooks`` and ``opacus_ghost`` are
    Opacus's ``DPLSTM`` with its two ways to clip, and torch's noise.

    Args:
        repeats: how often plain and ours run. Opacus's, which take about ten times as long, run twice.
        shapes: hidden units and layers.

    Returns:
        For each shape ``hidden``, ``layers``, ``…_ms``, ``ratio_plain`` (ours to plain), ``speedup_opacus`` (the faster
        of Opacus's to ours), ``peak_mb``: by how much our steps raise the high-water mark of resident memory, in a
        process of its own that has taken a step of two short recordings before; None where there is no ``/proc``.

    Raises:
        UsageError: ``repeats`` is below 1.
    """
    in_range("repeats", repeats, 1, 1000)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():  # of torch, about Opacus's hooks: the batch requires no gradient
            warnings.filterwarnings("ignore", "Full backward hook is firing")
            return [_measure(hidden, layers, repeats) for hidden, layers in shapes]
    finally:
        torch.set_num_threads(before)


def _measure(hidden: int, layers: int, repeats: int) -> dict[str, Any]:
    steps = {name: make(hidden, layers, *_data(BATCH, FRAMES)) for name, make in CONTENDERS.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        order = ["plain", "ours"] if turn % 2 else ["ours", "plain"]
        if turn in (repeats // 2, repeats):
            order += ["opacus_hooks", "opacus_ghost"]
        for name in order:
            seconds = _time(steps[name])
            if turn:  # the first loads libraries and fills caches
                times[name].append(seconds)
    best = {name: 1e3 * min(own) for name, own in times.items()}
    opacus = min(best["opacus_hooks"], best["opacus_ghost"])
    figures = {f"{name}_ms": round(own, 1) for name, own in best.items()}
    ratios = {"ratio_plain": best["ours"] / best["plain"], "speedup_opacus": opacus / best["ours"]}
    rounded = {name: round(ratio, 2) for name, ratio in ratios.items()}
    return {"hidden": hidden, "layers": layers} | figures | rounded | {"peak_mb": _peak_apart(hidden, layers)}


def _time(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _data(batch: int, frames: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(batch, frames, FEATURES, generator=random)
    return features, torch.randint(CLASSES, (batch,), generator=random)


def _peak_apart(hidden: int, layers: int) -> float | None:
    code = f"from simulations.speed.dp_step import peak_once; print(peak_once({hidden}, {layers}))"
    root = Path(__file__).parents[2]
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    last = process.stdout.splitlines()[-1]
    return None if last == "None" else round(float(last), 1)


def peak_once(hidden: int, layers: int) -> float | None:
    """By how many MB our steps raise this process's high-water mark, after a step of two short recordings."""
    torch.set_num_threads(1)
    ours(hidden, layers, *_data(2, 4))()
    step = ours(hidden, layers, *_data(BATCH, FRAMES))
    before = _high_water()
    step()
    step()  # beside Adam's moments, which the first one leaves
    after = _high_water()
    return None if before is None or after is None else after - before


def _high_water() -> float | None:
    """The most memory in MB that this process ever held; ``getrusage``'s counts the parent's too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
