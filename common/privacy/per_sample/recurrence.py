"""An LSTM layer's recurrence and its derivative, all directions at once: arrays in, arrays out.

The forward pass keeps every gate, so the backward one has nothing to compute twice: what doesn't depend on later frames
is worked out for many frames at a time, and five operations a frame are left. All that this returns are the derivatives
by the gates' inputs. They are what is needed of each frame; the gradient of any weight, of one recording or of all, is
one matrix product of them.

Frames go through in blocks whose intermediate results stay in the processor's cache. No tensor holds what several
could, for memory above glibc's limit of 32 MB is mapped anew at each call, which takes longer than to compute what goes
into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 15  # frames whose gates are computed together


class Weights(NamedTuple):
    """Of one direction, as ``nn.LSTM`` has them: rows are the input, forget, cell and output gates."""

    ih: Tensor  # (4 hidden, features)
    hh: Tensor  # (4 hidden, hidden)
    bias: Tensor  # (4 hidden,), the sum of both


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the derivative needs.

    Attributes:
        gates: for each block ``(directions, block, batch, 4 hidden)``: i, f, g and o.
        cells: ``(frames + 1, directions, batch, hidden)``, from the zeros before the first frame.
        squashed: ``(frames, directions, batch, hidden)``, tanh of the cells after each frame.
    """

    gates: list[Tensor]
    cells: Tensor
    squashed: Tensor


def forward(inputs: Sequence[Tensor], weights: Sequence[Weights], *, keep: bool) -> tuple[Tensor, Kept]:
    """Run a layer.

    Args:
        inputs: for each direction ``(batch, frames, features)``, in the order in which that direction reads them.
        weights: for each direction.
        keep: for ``backward``; without it ``Kept.gates`` is empty.

    Returns:
        The states ``(directions, batch, frames + 1, hidden)``, from the zeros before the first frame; and what to keep.
    """
    batch, frames, _ = inputs[0].shape
    hidden = weights[0].hh.shape[1]
    states = inputs[0].new_zeros(len(inputs), batch, frames + 1, hidden)
    cells = inputs[0].new_empty(frames + 1, len(inputs), batch, hidden)
    cells[0] = 0.0
    squashed = torch.empty_like(cells[1:])
    recurrent = torch.stack([w.hh.t() for w in weights])
    kept = []
    for first in range(0, frames, BLOCK):
        own = slice(first, min(first + BLOCK, frames))
        gates = _projected([x[:, own] for x in inputs], weights)
        _advance(gates, states[:, :, first : own.stop + 1], cells[first : own.stop + 1], squashed[own], recurrent)
        if keep:
            kept.append(gates)
    return states, Kept(gates=kept, cells=cells, squashed=squashed)


def _projected(inputs: Sequence[Tensor], weights: Sequence[Weights]) -> Tensor:
    """The part of the gates' inputs that no recurrence has a part in, ``(directions, block, batch, 4 hidden)``."""
    batch, frames, features = inputs[0].shape
    gates = inputs[0].new_empty(len(inputs), frames, batch, len(weights[0].bias))
    for own, x, weight in zip(gates, inputs, weights, strict=True):
        torch.addmm(weight.bias, x.transpose(0, 1).reshape(-1, features), weight.ih.t(), out=own.view(-1, own.shape[2]))
    return gates


def _advance(gates: Tensor, states: Tensor, cells: Tensor, squashed: Tensor, recurrent: Tensor) -> None:
    """Go through a block: fill ``gates`` and ``squashed``, and all of ``states`` and ``cells`` but the first."""
    summed = torch.empty_like(gates[:, 0])
    parts = [part.unbind(1) for part in gates.chunk(4, dim=3)]
    cell_gate = summed.chunk(4, dim=2)[2]
    state, *later_states = states.unbind(2)
    cell, *later_cells = cells.unbind(0)
    frames = zip(gates.unbind(1), *parts, later_states, later_cells, squashed.unbind(0), strict=True)
    for own, i, f, g, o, after, cell_after, tanh in frames:
        torch.baddbmm(own, state, recurrent, out=summed)
        torch.sigmoid(summed, out=own)
        torch.tanh(cell_gate, out=g)
        torch.mul(f, cell, out=cell_after).addcmul_(i, g)
        torch.mul(o, torch.tanh(cell_after, out=tanh), out=after)
        state, cell = after, cell_after


def backward(gradient: Tensor, kept: Kept, recurrent: Tensor) -> list[Tensor]:
    """The derivatives by the gates' inputs.

    Args:
        gradient: of the states after each frame, ``(directions, batch, frames, hidden)``.
        kept: of the forward pass.
        recurrent: for each direction the matrix ``(4 hidden, hidden)``.

    Returns:
        For each direction ``(batch, frames, 4 hidden)``, in the order in which that direction read the frames.
    """
    directions, batch, frames, hidden = gradient.shape
    deltas = [gradient.new_empty(batch, frames, 4 * hidden) for _ in range(directions)]
    by_cell = gradient.new_zeros(directions, batch, hidden)
    by_state = gradient[:, :, -1].clone()
    for block in reversed(range(len(kept.gates))):
        gates = kept.gates[block]
        own = slice(block * BLOCK, block * BLOCK + gates.shape[1])
        factors, through = _factors(gates, kept.cells[own].transpose(0, 1), kept.squashed[own].transpose(0, 1))
        earlier = gradient[:, :, max(0, own.start - 1) : own.stop - 1]
        _retreat(factors, through, gates, earlier, recurrent, by_cell, by_state)
        for delta, factor in zip(deltas, factors, strict=True):
            delta[:, own] = factor.transpose(0, 1)
    return deltas


def _factors(gates: Tensor, cells: Tensor, squashed: Tensor) -> tuple[Tensor, Tensor]:
    """What the derivative by the cell (for i, f, g) or by the state (for o) is multiplied with to be the gates'.

    And what the derivative by the state is multiplied with to be a part of that by the cell. ``cells`` are those before
    each frame, ``squashed`` is of those after it.
    """
    factors = torch.addcmul(gates, gates, gates, value=-1.0)  # a sigmoid's derivative is s - s²
    i, _, g, o = gates.chunk(4, dim=3)
    by_i, by_f, by_g, by_o = factors.chunk(4, dim=3)
    by_i.mul_(g)
    by_f.mul_(cells)
    torch.addcmul(i, i * g, g, value=-1.0, out=by_g)  # i times tanh's derivative, 1 - g²
    by_o.mul_(squashed)
    return factors, torch.addcmul(o, o * squashed, squashed, value=-1.0)


def _retreat(
    factors: Tensor,
    through: Tensor,
    gates: Tensor,
    earlier: Tensor,
    recurrent: Tensor,
    by_cell: Tensor,
    by_state: Tensor,
) -> None:
    """Go back through a block: make the derivatives of ``factors``, and leave those of the frame before in ``by_…``."""
    cell_gates = factors.view(*gates.shape[:3], 4, by_cell.shape[2])[:, :, :, :3].unbind(1)
    output_gate = factors.chunk(4, dim=3)[3].unbind(1)
    forget = gates.chunk(4, dim=3)[1].unbind(1)
    gradients = [None] * (len(forget) - earlier.shape[2]) + list(earlier.unbind(2))
    frames = zip(factors.unbind(1), cell_gates, output_gate, forget, through.unbind(1), gradients, strict=True)
    for own, by_ifg, by_o, f, path, before in reversed(list(frames)):
        by_cell.addcmul_(by_state, path)
        by_ifg.mul_(by_cell[:, :, None])
        by_o.mul_(by_state)
        if before is not None:
            torch.baddbmm(before, own, recurrent, out=by_state)
        by_cell.mul_(f)
