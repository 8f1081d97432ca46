from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from client.node.gate.accounted import check_accounted
from client.node.gate.answers import Refused
from common import protocol
from common.config.settings import PrivacyConfig
from common.errors import LedgerError
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.privacy.ledger.account import Ledger

PRIVACY = PrivacyConfig(epsilon=8.0, unit="utterance", delta=1e-5)
STEPS = Spend(unit="utterance", sample_rate=0.1, noise_multiplier=1.0, steps=10)
TERMS = {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5}
Weights = Mapping[str, torch.Tensor]


def weights(seed: int) -> dict[str, torch.Tensor]:
    """Three arrays, two of which have one form."""
    made = torch.Generator().manual_seed(seed)
    return {
        "head.weight": torch.randn(3, 2, generator=made),
        "body.weight": torch.randn(3, 2, generator=made),
        "steps": torch.tensor(seed),
    }


def release(folder: Path, reply: Weights, number: int, run: str = "one") -> Ledger:
    """What an honest app does, but for the noise."""
    ledger = Ledger.of_site(folder, "st-mary")
    ledger.begin(run, TERMS)
    with ledger.round(run, number) as entry:
        entry.reserve(STEPS, None)
        entry.store(safetensors.torch.save({name: tensor.contiguous() for name, tensor in reply.items()}))
    return ledger


def content(reply: Weights) -> RecordDict:
    return RecordDict({protocol.ARRAYS: ArrayRecord({name: Array(tensor.numpy()) for name, tensor in reply.items()})})


def asked(number: int, run: str = "one") -> RecordDict:
    return RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: run, protocol.ROUND: number})})


def check(told: RecordDict, ledger: Ledger, number: int = 2, *, run: str = "one", budget: float = 16.0) -> None:
    check_accounted(told, asked(number, run), ledger, budget=budget, privacy=PRIVACY)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Two rounds of a run were released, and one of another."""
    folder = tmp_path_factory.mktemp("ledger")
    release(folder, weights(1), 1)
    release(folder, weights(7), 2, "other")
    return release(folder, weights(2), 2)


def test_what_was_stored_passes_and_passes_again(ledger: Ledger) -> None:
    check(content(weights(2)), ledger)
    check(content(weights(2)), ledger)
    check(content(weights(1)), ledger, 1)  # a server that lost a checkpoint asks for it again
    check(content(weights(7)), ledger, run="other")


@given(bit=st.integers(0, 8 * (2 * 6 * 4 + 8) - 1))
def test_one_bit_of_any_array_does_not_pass(ledger: Ledger, bit: int) -> None:
    altered = {name: tensor.numpy().copy() for name, tensor in weights(2).items()}
    place, within = divmod(bit, 8)
    for values in altered.values():
        if place < values.nbytes:
            values.reshape(-1).view(np.uint8)[place] ^= 1 << within
            break
        place -= values.nbytes
    told = RecordDict({protocol.ARRAYS: ArrayRecord({name: Array(values) for name, values in altered.items()})})
    with pytest.raises(Refused, match="the update is not the reply that the ledger stored in round 2 of run one"):
        check(told, ledger)


def swapped() -> Weights:
    own = weights(2)
    return own | {"head.weight": own["body.weight"], "body.weight": own["head.weight"]}


def turned() -> Weights:
    return {name: tensor.T if tensor.ndim == 2 else tensor for name, tensor in weights(2).items()}


@pytest.mark.parametrize(
    "reply",
    [
        swapped(),
        turned(),
        weights(1),
        weights(7),
        {name: tensor for name, tensor in weights(2).items() if name != "steps"},
        weights(2) | {"more": torch.zeros(1)},
        weights(2) | {"steps": torch.tensor(2.0)},
    ],
    ids=["swapped", "turned", "an older round's", "another run's", "one less", "one more", "another type"],
)
def test_other_arrays_do_not_pass(ledger: Ledger, reply: Weights) -> None:
    with pytest.raises(Refused, match="is not the reply"):
        check(content(reply), ledger)


@pytest.mark.parametrize("order", ["names", "memory"])
def test_an_order_that_does_not_leave_is_no_other_reply(ledger: Ledger, order: str) -> None:
    """The gate makes the record anew in the order of the names, and each array in C order."""
    own = weights(2)
    backwards = {name: own[name] for name in sorted(own, reverse=True)}
    columns = {name: Array(np.array(tensor.numpy(), order="F")) for name, tensor in own.items()}
    told = content(backwards) if order == "names" else RecordDict({protocol.ARRAYS: ArrayRecord(columns)})
    check(told, ledger)


@pytest.mark.parametrize(("number", "run"), [(3, "one"), (1, "other"), (2, "none")])
def test_what_the_ledger_has_not_stored_does_not_pass(ledger: Ledger, number: int, run: str) -> None:
    with pytest.raises(Refused, match=f"has stored no reply in round {number} of run {run}"):
        check(content(weights(2)), ledger, number, run=run)


def test_a_round_that_is_only_reserved_or_was_voided_does_not_pass(tmp_path: Path) -> None:
    ledger = Ledger.of_site(tmp_path, "st-mary")
    ledger.begin("one", TERMS)
    with ledger.round("one", 2) as entry:
        entry.reserve(STEPS, None)
        with pytest.raises(Refused, match="has stored no reply"):
            check(content(weights(2)), ledger)
    with pytest.raises(Refused, match="has stored no reply"):
        check(content(weights(2)), ledger)


def test_a_budget_that_all_steps_together_pass_keeps_the_reply(ledger: Ledger) -> None:
    epsilon = epsilon_rdp(3 * [STEPS], 1e-5)
    check(content(weights(2)), ledger, budget=epsilon)
    with pytest.raises(Refused, match=rf"come to ε = {epsilon:.3f} for each utterance; .* \(privacy.budget\)"):
        check(content(weights(2)), ledger, budget=epsilon * 0.999)


def test_arrays_beside_the_model_do_not_pass(ledger: Ledger) -> None:
    told = RecordDict({**content(weights(2)), "control": content(weights(2))[protocol.ARRAYS]})
    with pytest.raises(Refused, match="has the arrays arrays, control, expected arrays alone"):
        check(told, ledger)
    with pytest.raises(Refused, match="has the arrays control, expected arrays alone"):
        check(RecordDict({"control": told["control"]}), ledger)


def test_a_word_without_arrays_passes(tmp_path: Path) -> None:
    check(RecordDict({protocol.CONFIG: ConfigRecord({protocol.STOPPED: True})}), Ledger(tmp_path / "none.jsonl"))


def test_a_ledger_that_was_edited_lets_nothing_pass(tmp_path: Path) -> None:
    path = release(tmp_path, weights(2), 2).path
    text = path.read_text()
    path.write_text(text.replace('"steps": 10', '"steps": 1'))
    with pytest.raises(LedgerError):
        check(content(weights(2)), Ledger.of_site(tmp_path, "st-mary"))


@pytest.mark.parametrize("asked_for", [PRIVACY, PrivacyConfig(epsilon=8.0, noise="shared", honest=2)])
def test_a_part_of_shared_noise_leaves_in_no_run_that_shares_it_otherwise(
    tmp_path: Path, asked_for: PrivacyConfig
) -> None:
    """Stored in a run that three honest sites' noise hides, and asked for again by one of that name without masks."""
    ledger = Ledger.of_site(tmp_path, "st-mary")
    ledger.begin("one", {**TERMS, "honest": 3})
    with ledger.round("one", 2) as entry:
        entry.reserve(STEPS, None)
        entry.store(safetensors.torch.save(weights(2)))
    shared = PrivacyConfig(epsilon=8.0, noise="shared", honest=3)
    check_accounted(content(weights(2)), asked(2), ledger, budget=16.0, privacy=shared)
    with pytest.raises(Refused, match="run one began with noise for 3, and is asked to go on with noise for"):
        check_accounted(content(weights(2)), asked(2), ledger, budget=16.0, privacy=asked_for)
