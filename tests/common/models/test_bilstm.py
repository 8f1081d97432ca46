import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common.models.bilstm import BiLSTM, reversal

INPUTS, HIDDEN = 5, 4


def pair(layers: int, seed: int = 0) -> tuple[BiLSTM, nn.LSTM]:
    """The same weights in both."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ours = BiLSTM(INPUTS, HIDDEN, layers=layers)
    reference = nn.LSTM(INPUTS, HIDDEN, layers, batch_first=True, bidirectional=True)
    reference.load_state_dict(ours.state_dict())
    return ours, reference


def packed(reference: nn.LSTM, batch: Tensor, lengths: Tensor) -> Tensor:
    sequence = pack_padded_sequence(batch, lengths, batch_first=True, enforce_sorted=False)
    output: Tensor = pad_packed_sequence(reference(sequence)[0], batch_first=True, total_length=batch.shape[1])[0]
    return output


def inside(output: Tensor, lengths: Tensor) -> Tensor:
    """The output with 0 beyond each length, as packed sequences have it."""
    return output * (torch.arange(output.shape[1]) < lengths[:, None])[:, :, None]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2]), st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 10_000))
def test_it_is_the_bidirectional_lstm_of_packed_sequences(layers: int, sizes: list[int], seed: int) -> None:
    ours, reference = pair(layers, seed)
    lengths = torch.tensor(sizes)
    noise = torch.Generator().manual_seed(seed)
    # What stands in the padding must not matter, so it is not zero.
    batch = torch.randn(len(sizes), max(sizes) + 2, INPUTS, generator=noise)
    target = torch.randn(len(sizes), max(sizes) + 2, 2 * HIDDEN, generator=noise)
    gradients = []
    outputs = []
    for model in (ours, reference):
        own_batch = batch.clone().requires_grad_()
        output = packed(model, own_batch, lengths) if model is reference else inside(ours(own_batch, lengths), lengths)
        torch.autograd.backward((output * target).sum())
        outputs.append(output)
        gradients.append(own_batch.grad)
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=0)
    for (name, own), (other, theirs) in zip(ours.named_parameters(), reference.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(own.grad, theirs.grad, atol=1e-5, rtol=1e-5)


def test_its_weights_are_those_of_the_torch_class() -> None:
    ours, reference = pair(2)
    assert list(ours.state_dict()) == list(reference.state_dict())
    torch.manual_seed(1)
    fresh = nn.LSTM(INPUTS, HIDDEN, 2, batch_first=True, bidirectional=True)
    ours.load_state_dict(fresh.state_dict())
    torch.manual_seed(1)
    again = BiLSTM(INPUTS, HIDDEN, layers=2)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True))


def test_dropout_acts_between_layers_and_only_in_training() -> None:
    batch, lengths = torch.randn(2, 6, INPUTS), torch.tensor([6, 3])
    model = BiLSTM(INPUTS, HIDDEN, layers=2, dropout=0.5)
    assert not torch.equal(model(batch, lengths), model(batch, lengths))
    model.eval()
    assert torch.equal(model(batch, lengths), model(batch, lengths))
    single = BiLSTM(INPUTS, HIDDEN, layers=1, dropout=0.5)
    assert torch.equal(single(batch, lengths), single(batch, lengths))


def test_reversal_leaves_the_padding_where_it_is() -> None:
    assert reversal(torch.tensor([1, 3, 4]), 4).tolist() == [[0, 1, 2, 3], [2, 1, 0, 3], [3, 2, 1, 0]]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_sequence_of_one_frame(layers: int) -> None:
    ours, reference = pair(layers)
    frame = torch.randn(1, 1, INPUTS)
    torch.testing.assert_close(ours(frame, torch.tensor([1])), reference(frame)[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_one_direction_is_torch_s_and_a_frame_knows_none_behind_it(layers: int) -> None:
    ours = BiLSTM(INPUTS, HIDDEN, layers=layers, bidirectional=False).eval()
    reference = nn.LSTM(INPUTS, HIDDEN, layers, batch_first=True)
    reference.load_state_dict(ours.state_dict())
    batch, lengths = torch.randn(2, 9, INPUTS), torch.tensor([9, 4])
    found = ours(batch, lengths)
    assert torch.allclose(found, reference(batch)[0], atol=1e-6)
    later = torch.cat([batch[:, :5], torch.randn(2, 4, INPUTS)], dim=1)
    assert torch.equal(ours(later, lengths)[:, :5], found[:, :5])
