"""The private layer against ``nn.LSTM`` on packed sequences, Opacus's ``DPLSTM``, and one sample at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from common.models.bilstm import BiLSTM
from common.privacy.per_sample.private_lstm import PrivateLSTM, with_private_lstms
from common.privacy.per_sample.recurrence import BLOCK

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@dataclass(frozen=True, kw_only=True)
class Case:
    lengths: list[int]
    inputs: int
    hidden: int
    layers: int
    bidirectional: bool
    dtype: torch.dtype
    seed: int

    def make(self) -> tuple[PrivateLSTM, nn.LSTM]:
        """The same weights in both; they are large enough to saturate some gates."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            ours = PrivateLSTM(self.inputs, self.hidden, layers=self.layers, bidirectional=self.bidirectional)
            for parameter in ours.parameters():
                nn.init.normal_(parameter, std=0.7)
        ours.to(self.dtype)
        return ours, self.reference(ours)

    def reference(self, ours: PrivateLSTM) -> nn.LSTM:
        theirs = nn.LSTM(
            self.inputs, self.hidden, self.layers, batch_first=True, bidirectional=self.bidirectional, dtype=self.dtype
        )
        theirs.load_state_dict(ours.state_dict())
        return theirs

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """A batch whose padding is no number, lengths, and what the output is multiplied with to make a loss."""
        random = torch.Generator().manual_seed(self.seed)
        size, frames = len(self.lengths), max(self.lengths) + self.seed % 3
        batch = torch.randn(size, frames, self.inputs, generator=random, dtype=self.dtype)
        width = self.hidden * (1 + self.bidirectional)
        weight = torch.randn(size, frames, width, generator=random, dtype=self.dtype)
        for row, length in zip(batch, self.lengths, strict=True):
            row[length:] = torch.nan
        return batch, torch.tensor(self.lengths), weight


cases = st.builds(
    Case,
    lengths=st.lists(st.integers(1, 12) | st.sampled_from([BLOCK, BLOCK + 1, 2 * BLOCK + 3]), min_size=1, max_size=5),
    inputs=st.integers(1, 7),
    hidden=st.integers(1, 9),
    layers=st.sampled_from([1, 2]),
    bidirectional=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10_000),
)


def close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """To the dtype's tolerance, of the largest entry of all: sums that cancel have no more digits in a float32."""
    largest = max(float(tensor.detach().abs().max()) for tensor in theirs)
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape
        assert own.dtype == other.dtype
        torch.testing.assert_close(own, other, rtol=0, atol=TOLERANCE[own.dtype] * largest)


def gradients(model: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(found) == len(list(model.parameters()))
    return found


def packed(model: nn.Module, batch: Tensor, lengths: Tensor) -> Tensor:
    """The output of a module that takes packed sequences, padded with zeros."""
    sequence = pack_padded_sequence(batch, lengths, batch_first=True, enforce_sorted=False)
    output: Tensor = pad_packed_sequence(model(sequence)[0], batch_first=True, total_length=batch.shape[1])[0]
    return output


def by_sample(loss: Tensor, model: nn.Module) -> list[Tensor]:
    torch.autograd.backward(loss)
    return [parameter.grad_sample for parameter in model.parameters()]  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=40)
@given(cases)
def test_output_and_gradients_are_those_of_the_torch_class(case: Case) -> None:
    ours, theirs = case.make()
    batch, lengths, weight = case.data()
    own, other = batch.clone().requires_grad_(), batch.nan_to_num().requires_grad_()
    output, expected = ours(own, lengths), packed(theirs, other, lengths)
    close([output], [expected])
    torch.autograd.backward((output * weight).sum())
    torch.autograd.backward((expected * weight).sum())
    assert own.grad is not None
    assert other.grad is not None
    close([own.grad], [other.grad])
    close(gradients(ours), gradients(theirs))


@settings(deadline=None, max_examples=40)
@given(cases, st.sampled_from(["sum", "mean"]))
def test_gradients_by_sample_are_those_of_one_sample_at_a_time(case: Case, reduction: str) -> None:
    ours, theirs = case.make()
    batch, lengths, weight = case.data()
    losses = (GradSampleModule(ours, loss_reduction=reduction)(batch, lengths) * weight).sum((1, 2))
    rows = by_sample(losses.sum() if reduction == "sum" else losses.mean(), ours)
    assert all(parameter.grad is None for parameter in ours.parameters())
    for i, length in enumerate(case.lengths):
        theirs.zero_grad()
        output = theirs(batch[i : i + 1, :length])[0]
        torch.autograd.backward((output * weight[i : i + 1, :length]).sum())
        close([row[i] for row in rows], gradients(theirs))


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # in Opacus's own layer
@settings(deadline=None, max_examples=15)
@given(cases)
def test_gradients_by_sample_are_those_of_opacus(case: Case) -> None:
    ours, _ = case.make()
    batch, lengths, weight = case.data()
    dplstm = DPLSTM(case.inputs, case.hidden, case.layers, batch_first=True, bidirectional=case.bidirectional).to(
        case.dtype
    )
    dplstm.load_state_dict(ours.state_dict())
    own = by_sample((GradSampleModule(ours, loss_reduction="sum")(batch, lengths) * weight).sum(), ours)
    # Opacus takes packed sequences to be sorted by length, longest first, and leaves the rows in that order.
    order = torch.sort(lengths, descending=True).indices
    sampled = GradSampleModule(dplstm, loss_reduction="sum")
    by_sample((packed(sampled, batch[order], lengths[order]) * weight[order]).sum(), dplstm)
    names: dict[str, Any] = dict(dplstm.named_parameters())
    close([row[order] for row in own], [names[name].grad_sample for name in ours.state_dict()])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_state_dict_goes_to_the_torch_class_and_back(bidirectional: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=bidirectional)
    torch.manual_seed(0)
    ours = PrivateLSTM(3, 4, layers=2, bidirectional=bidirectional)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own, other)  # the same seed makes the same weights
    fresh = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=bidirectional)
    ours.load_state_dict(fresh.state_dict())
    theirs.load_state_dict(ours.state_dict())
    for own, other in zip(theirs.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(own, other)


def test_it_takes_the_place_of_the_bilstm_inside_a_model() -> None:
    plain = nn.ModuleDict({"before": nn.Linear(3, 3), "lstm": BiLSTM(3, 4, layers=2), "after": nn.Linear(8, 2)})
    private = nn.ModuleDict({"before": nn.Linear(3, 3), "lstm": PrivateLSTM(3, 4, layers=2), "after": nn.Linear(8, 2)})
    assert list(private.state_dict()) == list(plain.state_dict())
    private.load_state_dict(plain.state_dict())
    assert list(GradSampleModule(private).to_standard_module().state_dict()) == list(plain.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        private.load_state_dict({n: t for n, t in plain.state_dict().items() if n != "lstm.weight_hh_l1_reverse"})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        private.load_state_dict({**plain.state_dict(), "lstm.weight_hh_l2": torch.zeros(1)})


def test_a_models_bilstms_are_replaced_wherever_they_are() -> None:
    inner = nn.ModuleDict({"first": BiLSTM(3, 4, layers=2, dropout=0.5), "second": nn.Linear(8, 2)})
    model = nn.ModuleDict({"inner": inner, "last": BiLSTM(2, 1)})
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert with_private_lstms(model) is model
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, PrivateLSTM)}
    assert list(found) == ["inner.first", "last"]
    assert (found["inner.first"].layers, found["inner.first"].dropout) == (2, 0.5)
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not any(isinstance(layer, BiLSTM) for layer in model.modules())


def test_the_same_seed_makes_the_same_dropout_as_in_the_bilstm() -> None:
    plain, private = BiLSTM(3, 4, layers=2, dropout=0.5), PrivateLSTM(3, 4, layers=2, dropout=0.5)
    private.load_state_dict(plain.state_dict())
    batch, lengths = torch.randn(2, 6, 3), torch.tensor([6, 6])
    outputs = []
    for model in (plain, private):
        torch.manual_seed(1)
        outputs.append(model(batch, lengths))
    torch.testing.assert_close(outputs[0], outputs[1])
    assert not torch.allclose(outputs[1], private(batch, lengths))
    private.eval()
    assert torch.equal(private(batch, lengths), private(batch, lengths))


def test_without_lengths_all_frames_count() -> None:
    model, batch = PrivateLSTM(3, 4), torch.randn(2, 5, 3)
    assert torch.equal(model(batch), model(batch, torch.tensor([5, 5])))


def test_a_packed_sequence_comes_back_packed() -> None:
    model = PrivateLSTM(3, 4, layers=2)
    theirs = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
    theirs.load_state_dict(model.state_dict())
    sequence = pack_padded_sequence(
        torch.randn(3, 7, 3), torch.tensor([2, 7, 4]), batch_first=True, enforce_sorted=False
    )
    own, other = model(sequence), theirs(sequence)[0]
    assert isinstance(own, PackedSequence)
    for i, expected in enumerate(torch.nn.utils.rnn.unpack_sequence(other)):
        torch.testing.assert_close(torch.nn.utils.rnn.unpack_sequence(own)[i], expected)


def test_beyond_the_length_the_output_is_zero() -> None:
    output = PrivateLSTM(3, 4, layers=2)(
        torch.full((2, 5, 3), torch.inf).index_fill(1, torch.arange(2), 1.0), torch.tensor([2, 1])
    )
    assert output[0, :2].all()
    assert not output[0, 2:].any()
    assert not output[1, 1:].any()


@pytest.mark.parametrize("layers", [1, 2])
def test_an_empty_batch_goes_forward_and_backward(layers: int) -> None:
    model = GradSampleModule(PrivateLSTM(3, 4, layers=layers), loss_reduction="sum")
    output = model(torch.zeros(0, 5, 3), torch.zeros(0, dtype=torch.int64))
    assert output.shape == (0, 5, 8)
    for parameter, rows in zip(model.parameters(), by_sample(output.sum(), model), strict=True):
        assert rows.shape == (0, *parameter.shape)


def test_a_graph_can_be_gone_through_twice() -> None:
    model = PrivateLSTM(3, 4)
    loss = model(torch.randn(2, 5, 3)).sum()
    torch.autograd.backward(loss, retain_graph=True)
    once = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    torch.autograd.backward(loss)
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_weights_that_changed_before_the_backward_pass_are_noticed() -> None:
    model = PrivateLSTM(3, 4)
    loss = model(torch.randn(2, 5, 3)).sum()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(loss)


def test_after_opacus_it_trains_plainly_again() -> None:
    model = PrivateLSTM(3, 4)
    sampled = GradSampleModule(model, loss_reduction="sum")
    sampled(torch.randn(2, 5, 3))  # a forward pass without its backward one
    sampled.to_standard_module()
    torch.autograd.backward(model(torch.randn(2, 5, 3)).sum())
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_opacus_steps_by_hooks_and_by_ghost_clipping_are_the_same() -> None:
    """Clipped, without noise: the optimizer that keeps gradients by sample, and the one that keeps norms alone."""
    batch, labels = torch.randn(5, 6, 3), torch.randint(4, (5,))
    state = nn.Sequential(PrivateLSTM(3, 2), nn.Flatten(), nn.Linear(24, 4)).state_dict()
    settings = {"noise_multiplier": 0.0, "max_grad_norm": 0.5, "expected_batch_size": 5, "loss_reduction": "sum"}
    results = []
    for ghost in (False, True):
        model = nn.Sequential(PrivateLSTM(3, 2), nn.Flatten(), nn.Linear(24, 4))
        model.load_state_dict(state)
        sgd = torch.optim.SGD(model.parameters(), lr=1.0)
        loss: Any = nn.CrossEntropyLoss(reduction="sum")
        if ghost:
            sampled = GradSampleModuleFastGradientClipping(model, loss_reduction="sum", max_grad_norm=0.5)
            optimizer = DPOptimizerFastGradientClipping(sgd, **settings)
            loss = DPLossFastGradientClipping(sampled, optimizer, loss, loss_reduction="sum")
        else:
            sampled, optimizer = GradSampleModule(model, loss_reduction="sum"), DPOptimizer(sgd, **settings)
        loss(sampled(batch.clone().requires_grad_()), labels).backward()
        optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    for hooks, norms in zip(*results, strict=True):
        torch.testing.assert_close(hooks, norms, atol=1e-6, rtol=1e-5)
