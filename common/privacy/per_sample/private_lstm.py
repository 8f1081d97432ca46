"""A bidirectional LSTM whose gradients by sample are exact and cheap, in Opacus's terms.

Opacus has a layer for this, ``DPLSTM``: a loop over frames and cells that takes the gradients of all samples at every
frame. But a weight's gradient is a sum over frames of products of the derivative by a gate's input and of what came in,
so one batched matrix product at the end gives it for each sample. ``common.privacy.per_sample.recurrence`` makes the
derivatives by the gates' inputs; a ``Direction`` is, for Opacus, a linear layer over frames whose output's gradient
they are.

Guarantee: none by itself. What this owes to the mechanism is that a sample's row in ``grad_sample`` is the gradient of
that sample's loss and depends on no other sample, which holds since nothing here is shared between samples but weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from opacus.grad_sample import register_grad_sampler
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from common.models.bilstm import BiLSTM, reversal
from common.privacy.per_sample import recurrence
from common.privacy.per_sample.recurrence import Kept, Weights

Model = TypeVar("Model", bound=nn.Module)


class Direction(nn.Module):
    """One direction of one layer: the weights, and the place where Opacus's hooks are.

    Called with what came in at each frame, it returns a stand-in for the gates' inputs ``(batch, frames, 4 hidden)``,
    whose values mean nothing: ``_Layer`` gives it the gradient of the true ones.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden))
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def weights(self) -> Weights:
        """Without gradients."""
        return Weights(self.weight_ih.detach(), self.weight_hh.detach(), self.bias_ih.detach() + self.bias_hh.detach())

    def forward(self, inputs: Tensor, states: Tensor, anchor: Tensor) -> Tensor:
        """The stand-in, for ``inputs (batch, frames, features)`` and the states before them.

        The anchor ``(batch, 0)`` is there to require a gradient: torch calls a module's backward hooks after the module
        where one of its inputs does, and before it, with a warning, where none does.
        """
        stand_in: Tensor = _Sum.apply(self, inputs, states, anchor, *self.parameters())  # type: ignore[no-untyped-call]
        return stand_in

    @property
    def sampled(self) -> bool:
        """Whether Opacus will take gradients by sample of the backward pass that is under way."""
        return bool(self._backward_hooks) and bool(getattr(self, "activations", ()))


class _Sum(torch.autograd.Function):
    """The gradients of a direction's weights, summed over the batch, unless Opacus took them by sample."""

    @staticmethod
    def forward(
        ctx: Any, direction: Direction, inputs: Tensor, states: Tensor, anchor: Tensor, *_parameters: Tensor
    ) -> Tensor:
        ctx.direction, ctx.anchor = direction, anchor
        ctx.save_for_backward(inputs, states)
        return inputs.new_zeros(()).expand(*inputs.shape[:2], len(direction.bias_ih))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, deltas: Tensor) -> tuple[Tensor | None, ...]:
        anchor = torch.zeros_like(ctx.anchor)
        if ctx.direction.sampled:
            return None, None, None, anchor, None, None, None, None
        inputs, states = ctx.saved_tensors
        flat = deltas.flatten(0, 1)
        by_ih, by_hh, by_bias = flat.t() @ inputs.flatten(0, 1), flat.t() @ states.flatten(0, 1), flat.sum(0)
        return None, None, None, anchor, by_ih, by_hh, by_bias, by_bias.clone()


@register_grad_sampler(Direction)  # type: ignore[untyped-decorator]
def rows(direction: Direction, activations: Sequence[Tensor], deltas: Tensor) -> dict[nn.Parameter, Tensor]:
    """The gradients by sample: for each parameter ``(batch, *its shape)``."""
    inputs, states, _ = activations
    by_gate, bias = deltas.transpose(1, 2), deltas.sum(1)
    return {
        direction.weight_ih: torch.bmm(by_gate, inputs),
        direction.weight_hh: torch.bmm(by_gate, states),
        direction.bias_ih: bias,
        direction.bias_hh: bias,
    }


class PrivateLSTM(nn.Module):
    """``common.models.bilstm.BiLSTM`` with gradients by sample: in its place, with its ``state_dict``, which is
    ``nn.LSTM``'s.

    Under ``opacus.GradSampleModule`` a backward pass leaves ``grad_sample`` on each parameter and no ``grad``, whose
    time is saved; otherwise it leaves ``grad``, as that of any module.

    Args:
        inputs: features of a frame.
        hidden: units in each direction.
        layers: stacked layers.
        dropout: between layers.
        bidirectional: whether there is a direction that reads backwards.
    """

    def __init__(
        self, inputs: int, hidden: int, *, layers: int = 1, dropout: float = 0.0, bidirectional: bool = True
    ) -> None:
        super().__init__()
        self.layers, self.dropout = layers, dropout
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        for layer in range(layers):
            for suffix in self.suffixes:
                width = inputs if layer == 0 else hidden * len(self.suffixes)
                self.add_module(f"l{layer}{suffix}", Direction(width, hidden))
        self.register_state_dict_post_hook(_to_flat_names)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_from_flat_names)  # type: ignore[no-untyped-call]

    def forward(self, batch: Tensor | PackedSequence, lengths: Tensor | None = None) -> Tensor | PackedSequence:
        """Run all layers.

        Args:
            batch: ``(batch, frames, features)``, padded at the end with anything; or packed.
            lengths: ``(batch,)``, each at most ``frames``; None where there is no padding.

        Returns:
            ``(batch, frames, directions * hidden)``, 0 beyond each length; or packed, if the batch was.
        """
        if isinstance(batch, PackedSequence):
            padded, lengths = pad_packed_sequence(batch, batch_first=True)
            output = self._run(padded, lengths)
            return pack_padded_sequence(output, lengths, batch_first=True, enforce_sorted=False)
        return self._run(batch, lengths)

    def _run(self, batch: Tensor, lengths: Tensor | None) -> Tensor:
        samples, frames, _ = batch.shape
        lengths = torch.full((samples,), frames) if lengths is None else lengths
        lengths = lengths.to(batch.device)
        rows = torch.arange(samples, device=batch.device)[:, None]
        order = (frames * rows + reversal(lengths, frames)).flatten()
        padding = _padding(lengths, frames)
        if padding is not None:
            batch = batch.masked_fill(padding, 0.0)  # so that no NaN in it gets into a product with 0
        for layer in range(self.layers):
            if layer:
                batch = nn.functional.dropout(batch, self.dropout, self.training)
            batch = self._layer(layer, batch, order, padding)
        return batch

    def _layer(self, layer: int, batch: Tensor, order: Tensor, padding: Tensor | None) -> Tensor:
        directions = [cast("Direction", self.get_submodule(f"l{layer}{suffix}")) for suffix in self.suffixes]
        weights = [direction.weights() for direction in directions]
        inputs = [batch.detach(), _taken(batch.detach(), order)][: len(directions)]
        states, kept = recurrence.forward(inputs, weights, keep=torch.is_grad_enabled())
        anchor = batch.new_zeros(len(batch), 0, requires_grad=True)
        stand_ins = [d(x, s[:, :-1], anchor) for d, x, s in zip(directions, inputs, states, strict=True)]
        output: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
            batch, states, kept, weights, order, padding, *stand_ins
        )
        return output


class _Layer(torch.autograd.Function):
    """From a layer's input and the stand-ins for its gates' inputs to its output."""

    @staticmethod
    def forward(
        ctx: Any,
        _batch: Tensor,
        states: Tensor,
        kept: Kept,
        weights: list[Weights],
        order: Tensor,
        padding: Tensor | None,
        *_stand_ins: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*(w.ih for w in weights), *(w.hh for w in weights))  # torch sees if they are changed
        ctx.kept, ctx.order, ctx.padding = kept, order, padding
        outputs = [states[0, :, 1:]] + [_taken(s[:, 1:], order) for s in states[1:]]
        output = torch.cat(outputs, dim=2)
        return output if padding is None else output.masked_fill_(padding, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        if ctx.padding is not None:
            gradient = gradient.masked_fill(ctx.padding, 0.0)
        directions = len(ctx.saved_tensors) // 2
        ih, hh = ctx.saved_tensors[:directions], ctx.saved_tensors[directions:]
        forward, *reverse = gradient.chunk(directions, dim=2)
        by_state = torch.stack([forward, *(_taken(r, ctx.order) for r in reverse)])
        deltas = recurrence.backward(by_state, ctx.kept, torch.stack(hh))
        by_input = None
        if ctx.needs_input_grad[0]:
            by_input = deltas[0] @ ih[0]
            for delta, weight in zip(deltas[1:], ih[1:], strict=True):
                by_input += _taken(delta @ weight, ctx.order)
        return by_input, None, None, None, None, None, *deltas


def with_private_lstms(model: Model) -> Model:
    """Put a layer with gradients by sample in the place of each ``BiLSTM`` of a model, and return the model.

    What the model computes, its weights, and the names in its ``state_dict`` stay.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, BiLSTM):
                sizes = layer.input_size, layer.hidden_size
                own = PrivateLSTM(
                    *sizes, layers=layer.num_layers, dropout=layer.dropout, bidirectional=layer.bidirectional
                )
                own.load_state_dict(layer.state_dict())
                setattr(parent, name, own)
    return model


def _padding(lengths: Tensor, frames: int) -> Tensor | None:
    """True beyond each length, ``(batch, frames, 1)``; None where there is no padding."""
    padding = torch.arange(frames, device=lengths.device) >= lengths[:, None]
    return padding[:, :, None] if padding.any() else None


def _taken(batch: Tensor, order: Tensor) -> Tensor:
    """The frames of all samples in another order, which is its own inverse."""
    return batch.reshape(-1, batch.shape[2]).index_select(0, order).view(batch.shape)


def _to_flat_names(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    """``l0_reverse.weight_ih`` to ``weight_ih_l0_reverse``, as ``nn.LSTM`` calls it."""
    for name in dict(module.named_parameters()):
        direction, weight = name.split(".")
        state[f"{prefix}{weight}_{direction}"] = state.pop(prefix + name)


def _from_flat_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in dict(module.named_parameters()):
        direction, weight = name.split(".")
        flat = f"{prefix}{weight}_{direction}"
        if flat in state:
            state[prefix + name] = state.pop(flat)
