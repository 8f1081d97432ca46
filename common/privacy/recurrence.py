"""An LSTM layer's recurrence and its derivative, all directions at once: arrays in, arrays out.

The forward pass keeps every gate, so the backward one has nothing to compute twice: what doesn't depend on later frames
is worked out for many frames at a time, and five operations a frame are left. All that this returns are the derivatives
by the gates' inputs. They are what is needed of each frame; the gradient of any weight, of one recording or of all, is
one matrix product of them.

Three tricks make it fast on a CPU. tanh(x) = 2 sigmoid(2x) - 1, and torch's sigmoid takes a third of its tanh's time:
so all four gates are one sigmoid, of inputs whose third quarter was doubled through the weights. Frames go through in
blocks whose intermediate results stay in the processor's cache. And no tensor holds what several could, for memory above
glibc's limit of 32 MB is mapped anew at each call, which takes longer than to compute what goes into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 25  # frames whose gates are computed together


class Weights(NamedTuple):
    """Of one direction, as ``nn.LSTM`` has them: rows are the input, forget, cell and output gates."""

    ih: Tensor  # (4 hidden, features)
    hh: Tensor  # (4 hidden, hidden)
    bias: Tensor  # (4 hidden,), the sum of both


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the derivative needs.

    Attributes:
        gates: for each block ``(directions, block, batch, 4 hidden)``: i, f, g / 2 and o.
        cells: ``(frames + 1, directions, batch, hidden)``, twice the cells' states, from the one before the first.
    """

    gates: list[Tensor]
    cells: Tensor


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
    recurrent = torch.stack([2.0 * _doubled(w.hh).t() for w in weights])  # states are halves until all is done
    projections = [(_doubled(w.bias), _doubled(w.ih).t()) for w in weights]
    kept = []
    for first in range(0, frames, BLOCK):
        own = slice(first, min(first + BLOCK, frames))
        gates = _projected([x[:, own] for x in inputs], projections)
        _advance(gates, states[:, :, first : own.stop + 1], cells[first : own.stop + 1], recurrent)
        if keep:
            kept.append(gates)
    return states.mul_(2.0), Kept(gates=kept, cells=cells)


def _doubled(weight: Tensor) -> Tensor:
    """Twice the third quarter: the cell gate's rows."""
    weight = weight.clone()
    weight.chunk(4)[2].mul_(2.0)
    return weight


def _projected(inputs: Sequence[Tensor], projections: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The part of the gates' inputs that no recurrence has a part in, ``(directions, block, batch, 4 hidden)``."""
    batch, frames, features = inputs[0].shape
    gates = inputs[0].new_empty(len(inputs), frames, batch, len(projections[0][0]))
    for own, x, (bias, weight) in zip(gates, inputs, projections, strict=True):
        torch.addmm(bias, x.transpose(0, 1).reshape(-1, features), weight, out=own.view(-1, own.shape[2]))
    return gates


def _advance(gates: Tensor, states: Tensor, cells: Tensor, recurrent: Tensor) -> None:
    """Go through a block: fill ``gates`` with their values, and all of ``states`` and ``cells`` but the first."""
    summed, squashed = torch.empty_like(gates[:, 0]), torch.empty_like(cells[0])
    parts = [part.unbind(1) for part in gates.chunk(4, dim=3)]
    state, *later_states = states.unbind(2)
    cell, *later_cells = cells.unbind(0)
    for own, i, f, g, o, after, cell_after in zip(gates.unbind(1), *parts, later_states, later_cells, strict=True):
        torch.baddbmm(own, state, recurrent, out=summed)
        torch.sigmoid(summed, out=own)
        g.sub_(0.5)
        torch.mul(f, cell, out=cell_after).addcmul_(i, g, value=4.0)
        torch.sigmoid(cell_after, out=squashed).sub_(0.5)
        torch.mul(o, squashed, out=after)
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
    by_cell = gradient.new_zeros(directions, batch, hidden)  # twice the derivative by the cell's state
    by_state = gradient[:, :, -1].clone()
    for block in reversed(range(len(kept.gates))):
        gates = kept.gates[block]
        own = slice(block * BLOCK, block * BLOCK + gates.shape[1])
        factors, through = _factors(gates, kept.cells[own.start : own.stop + 1].transpose(0, 1))
        earlier = gradient[:, :, max(0, own.start - 1) : own.stop - 1]
        _retreat(factors, through, gates, earlier, recurrent, by_cell, by_state)
        for delta, factor in zip(deltas, factors, strict=True):
            delta[:, own] = factor.transpose(0, 1)
    return deltas


def _factors(gates: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """What the derivative by the cell is multiplied with for i, f, g, that by the state for o; and it for the cell's.

    ``by_cell``, ``cells`` and tanh's values are halves or doubles of the true ones, hence the numbers.
    """
    factors = torch.addcmul(gates, gates, gates, value=-1.0)  # a sigmoid's derivative is s - s²
    i, _, g, o = gates.chunk(4, dim=3)
    by_i, by_f, by_g, by_o = factors.chunk(4, dim=3)
    squashed = torch.sigmoid(cells[:, 1:]).sub_(0.5)  # tanh(c) / 2
    by_i.mul_(g)
    by_f.mul_(cells[:, :-1]).mul_(0.25)
    torch.mul(g, g, out=by_g).mul_(-2.0).add_(0.5).mul_(i)
    by_o.mul_(squashed).mul_(2.0)
    return factors, squashed.square_().mul_(-8.0).add_(2.0).mul_(o)


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
    cell_gates = factors.view(*gates.shape[:3], 4, -1)[:, :, :, :3].unbind(1)
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
