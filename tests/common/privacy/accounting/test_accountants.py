import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis.rdp import compute_rdp
from scipy.optimize import brentq
from scipy.special import log_ndtr

from common.errors import UsageError
from common.privacy.accounting import accountants
from common.privacy.accounting.accountants import ORDERS, Filter, Spend, epsilon_prv, epsilon_rdp, rdp
from common.privacy.accounting.calibration import calibrate

DELTA = 1e-5
Step = tuple[float, float, int]  # sample rate, noise multiplier, steps


def spend(sample_rate: float, noise: float, steps: int) -> Spend:
    return Spend(unit="utterance", sample_rate=sample_rate, noise_multiplier=noise, steps=steps)


def google(parts: Sequence[Step], delta: float, mesh: float, *, pessimistic: bool = True) -> float:
    """Google's accountant, of both directions the larger: from above or, not pessimistic, from below."""
    logging.disable(logging.WARNING)  # it tells that the optimistic estimate is made otherwise
    try:
        losses = [
            privacy_loss_distribution.from_gaussian_mechanism(
                noise, sampling_prob=rate, value_discretization_interval=mesh, pessimistic_estimate=pessimistic
            ).self_compose(steps)
            for rate, noise, steps in parts
        ]
    finally:
        logging.disable(logging.NOTSET)
    total = losses[0]
    for loss in losses[1:]:
        total = total.compose(loss)
    return float(total.get_epsilon_for_delta(delta))


def assert_near_google(parts: Sequence[Step], delta: float) -> None:
    ours = epsilon_prv([spend(*part) for part in parts], delta)
    mesh = min(1e-3, 2e-3 * max(ours, 1e-3) / math.sqrt(sum(part[2] for part in parts)))
    assert ours == pytest.approx(google(parts, delta, mesh), rel=0.01), parts
    assert ours >= google(parts, delta, mesh, pessimistic=False), parts
    assert ours <= epsilon_rdp([spend(*part) for part in parts], delta) * (1 + 1e-12), parts


@pytest.mark.parametrize(
    ("part", "delta"),
    [
        ((0.01, 0.5, 10), 1e-5), ((0.01, 0.8, 2000), 1e-5), ((0.01, 10.0, 100), 1e-6), ((0.05, 1.0, 1), 1e-6),
        ((0.05, 1.2, 1000), 1e-6), ((0.05, 10.0, 10), 1e-5), ((0.2, 0.5, 10), 1e-6), ((0.2, 2.0, 100), 1e-5),
        ((0.5, 1.0, 10), 1e-5), ((0.5, 10.0, 100), 1e-6), ((1.0, 0.5, 1), 1e-5), ((1.0, 10.0, 100), 1e-6),
    ],
)  # fmt: skip
def test_prv_agrees_with_google_s_accountant(part: Step, delta: float) -> None:
    assert_near_google([part], delta)


@pytest.mark.slow
@pytest.mark.parametrize("delta", [1e-5, 1e-6])
@pytest.mark.parametrize("steps", [1, 10, 100, 2000])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5, 1.0])
def test_prv_agrees_with_google_s_accountant_on_a_grid(rate: float, noise: float, steps: int, delta: float) -> None:
    if epsilon_rdp([spend(rate, noise, steps)], delta) > 150:
        pytest.skip("Google's accountant takes gigabytes for such an epsilon")
    assert_near_google([(rate, noise, steps)], delta)


@pytest.mark.parametrize(
    "parts",
    [
        [(0.05, 1.2, 300), (0.2, 4.0, 50)],
        [(0.01, 0.8, 500), (1.0, 6.0, 10)],  # sampled and whole steps together
        [(1.0, 3.0, 7), (1.0, 4.0, 3)],
        [(0.3, 2.0, 1), (0.6, 2.0, 1), (0.1, 1.0, 1)],
    ],
)
def test_different_steps_compose(parts: list[Step]) -> None:
    assert_near_google(parts, DELTA)


def test_gaussian_steps_are_one_with_more_signal() -> None:
    assert epsilon_prv([spend(1, 10, 100)], DELTA) == pytest.approx(epsilon_prv([spend(1, 1, 1)], DELTA), rel=1e-12)
    assert epsilon_prv([spend(1, 1, 1)], DELTA) == pytest.approx(4.3772, abs=1e-4)  # Balle and Wang 2018


@pytest.mark.parametrize("accountant", [epsilon_prv, epsilon_rdp])
def test_three_runs_compose_to_the_union_of_their_steps(accountant: type) -> None:
    runs = [spend(0.05, 1.2, 100), spend(0.05, 1.2, 250), spend(0.05, 1.2, 50)]
    assert accountant(runs, DELTA) == accountant([spend(0.05, 1.2, 400)], DELTA)
    other = spend(0.2, 4, 10)
    assert accountant([*runs, other], DELTA) == pytest.approx(accountant([other, *reversed(runs)], DELTA), rel=1e-12)
    assert accountant([*runs, other], DELTA) > accountant(runs, DELTA) > max(accountant([r], DELTA) for r in runs)


@pytest.mark.parametrize("accountant", [epsilon_prv, epsilon_rdp])
def test_no_steps_cost_nothing_and_no_noise_everything(accountant: type) -> None:
    assert accountant([], DELTA) == 0.0
    assert accountant([spend(0.1, 1, 0), spend(0.1, 0, 0)], DELTA) == 0.0
    for rate in (0.1, 1.0):
        assert accountant([spend(0.1, 1, 5), spend(rate, 0, 1)], DELTA) == math.inf


@pytest.mark.parametrize("delta", [0.1, 1e-5, 1e-12])
@pytest.mark.parametrize(
    "part",
    [
        (0.999999, 1.0, 3), (1e-6, 1.0, 10), (1e-6, 0.3, 1000), (0.01, 1e4, 10), (0.9, 0.1, 1), (0.5, 0.05, 2),
        (0.05, 3.0, 10**6),
    ],
)  # fmt: skip
def test_extremes_are_bounded_by_rdp(part: Step, delta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.privacy.accounting.accountants._POINTS", 2**18)  # coarse, and quick
    epsilon = epsilon_prv([spend(*part)], delta * 1.01)  # a delta that nobody else has in the cache
    assert 0 <= epsilon <= epsilon_rdp([spend(*part)], delta * 1.01)
    assert math.isfinite(epsilon)


@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.5, 1.2, 8.0])
def test_divergences_are_opacus_s(rate: float, noise: float) -> None:
    theirs = compute_rdp(q=rate, noise_multiplier=noise, steps=70, orders=ORDERS)
    np.testing.assert_allclose(rdp([spend(rate, noise, 30), spend(rate, noise, 40)]), theirs, rtol=1e-6, atol=1e-11)


def test_epsilon_rdp_is_opacus_s() -> None:
    opacus = RDPAccountant()
    opacus.history = [(1.2, 0.05, 700), (4.0, 0.2, 30)]
    ours = epsilon_rdp([spend(0.05, 1.2, 700), spend(0.2, 4.0, 30)], DELTA)
    assert ours == pytest.approx(opacus.get_epsilon(DELTA), rel=1e-9)


def test_divergence_of_the_whole_gaussian_is_the_formula() -> None:
    np.testing.assert_allclose(rdp([spend(1.0, 2.0, 3)]), 3 * np.array(ORDERS) / 8, rtol=1e-14)


@pytest.mark.parametrize("bad", [(0, 1, 1), (1.1, 1, 1), (0.5, -1, 1), (0.5, math.nan, 1), (0.5, 1, -1)])
def test_impossible_spends_are_refused(bad: Step) -> None:
    with pytest.raises(UsageError):
        spend(*bad)


def admitted(keep: Filter, wanted: Sequence[Spend]) -> list[Spend]:
    """Those that the filter let through, one after the other."""
    spent: list[Spend] = []
    for one in wanted:
        if keep.admits(spent, one):
            spent.append(one)
    return spent


def test_filter_admits_the_steps_that_rdp_allows_and_not_one_more() -> None:
    step, keep = spend(0.05, 1.2, 1), Filter(3.0, DELTA)
    steps = len(admitted(keep, [step] * 400))
    assert 0 < steps < 400
    assert epsilon_rdp([spend(0.05, 1.2, steps)], DELTA) <= 3.0 < epsilon_rdp([spend(0.05, 1.2, steps + 1)], DELTA)


def test_filter_never_passes_the_budget_with_spends_that_follow_outputs() -> None:
    random = np.random.default_rng(0)  # stands for the outputs
    for budget in (1.0, 4.0, 8.0):
        spent: list[Spend] = []
        for _ in range(60):
            rate, noise = random.choice([0.01, 0.05, 0.2, 1.0]), random.choice([0.8, 1.2, 4.0, 10.0])
            wanted = spend(rate, noise, int(random.integers(1, 60)))
            if Filter(budget, DELTA).admits(spent, wanted):
                spent.append(wanted)
        assert spent
        assert epsilon_rdp(spent, DELTA) <= Filter(budget, DELTA).epsilon(spent) <= budget


def test_filter_keeps_the_order_of_the_first_spend() -> None:
    keep, first, others = Filter(8.0, DELTA), spend(1.0, 10.0, 20), [spend(0.05, 0.8, 10)] * 40
    budgets = keep.budget - (
        np.log1p(-1 / np.array(ORDERS)) - np.log(DELTA * np.array(ORDERS)) / np.subtract(ORDERS, 1)
    )
    order = int(np.argmax(budgets / rdp([first])))
    spent = admitted(keep, [first, *others])
    assert 1 < len(spent) < 41
    assert rdp(spent)[order] <= budgets[order] < rdp([*spent, others[0]])[order]
    assert (rdp([*spent, others[0]]) <= budgets).any()  # best in hindsight, which the outputs could have picked


def test_filter_goes_on_after_a_refusal_that_was_too_large() -> None:
    small, large = spend(0.05, 1.2, 10), spend(0.05, 1.2, 10_000)
    assert admitted(Filter(3.0, DELTA), [small, large, small]) == [small, small]


def test_filter_refuses_steps_without_noise_and_lets_none_pass() -> None:
    keep = Filter(8.0, DELTA)
    assert not keep.admits([], spend(0.1, 0.0, 1))
    assert keep.admits([], spend(0.1, 0.0, 0))
    assert not Filter(1e-3, DELTA).admits([], spend(1e-3, 100.0, 1))  # below what any order can tell


def test_a_run_that_is_calibrated_to_a_budget_is_admitted_whole() -> None:
    spent = [spend(0.05, 1.5, 500), spend(0.01, 0.8, 200)]
    noise = calibrate(8.0, DELTA, 0.5, 20, "rdp", spent)
    for done in range(20):
        assert Filter(8.0, DELTA).admits([*spent, spend(0.5, noise, done)], spend(0.5, noise, 1))


def logarithmic(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(math.log10(low), math.log10(high)).map(lambda power: min(max(10**power, low), high))


RATES = st.one_of(st.just(1.0), st.floats(0.01, 1.0), logarithmic(1e-12, 1.0), st.floats(5e-324, 1.0))
ANY = st.lists(
    st.tuples(RATES, logarithmic(1e-3, 1e9), st.one_of(st.integers(1, 1000), st.integers(1, 10**9))),
    min_size=1,
    max_size=3,
)
FEW = st.lists(st.tuples(RATES, logarithmic(0.3, 1e4), st.integers(1, 200)), min_size=1, max_size=2)
DELTAS = logarithmic(1e-12, 0.1)


@pytest.fixture(scope="class")
def _coarse() -> Iterator[None]:
    """A mesh that is quick; what it computes is kept from nobody else's figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accountants, "_POINTS", 2**17)
        accountants._epsilon_prv.cache_clear()
        yield
    accountants._epsilon_prv.cache_clear()


@pytest.mark.usefixtures("_coarse")
@settings(max_examples=15, deadline=None, derandomize=True)
@example([(1.0, 6.0, 600), (0.5, 2.0, 100)], 1e-5)  # six runs that hide speakers, and one of a sample
@example([(1.0, 1e-3, 10**9), (0.5, 1.0, 3)], 1e-5)
@example([(1e-9, 1e-3, 2)], 1e-3)
@example([(0.1, 1.0, 7 * 10**8), (0.1, 1.0, 7 * 10**8)], 1e-5)  # together above what one may have
@given(ANY, DELTAS)
def test_any_steps_have_an_epsilon_of_at_most_that_by_divergences(parts: list[Step], delta: float) -> None:
    assert_at_most_by_divergences(parts, delta)


@pytest.mark.slow
@pytest.mark.usefixtures("_coarse")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(ANY, DELTAS)
def test_many_more_have_too(parts: list[Step], delta: float) -> None:
    assert_at_most_by_divergences(parts, delta)


def assert_at_most_by_divergences(parts: list[Step], delta: float) -> None:
    spends = [spend(*part) for part in parts]
    most = epsilon_rdp(spends, delta)
    assert epsilon_prv(spends, delta) >= 0
    assert math.isfinite(most)
    if len(parts) > 1 or parts[0][2] > 1:
        assert epsilon_prv(spends, delta) <= most * (1 + 1e-9) + 1e-12


@pytest.mark.usefixtures("_coarse")
@settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@example([(1.0, 6.0, 600), (0.5, 2.0, 100)], 1e-5)
@given(FEW, logarithmic(1e-9, 0.1))
def test_no_epsilon_is_below_google_s_optimistic_one(parts: list[Step], delta: float) -> None:
    assert_at_least_google_s(parts, delta)


@pytest.mark.slow
@pytest.mark.usefixtures("_coarse")
@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(FEW, logarithmic(1e-9, 0.1))
def test_nor_is_any_of_many_more(parts: list[Step], delta: float) -> None:
    assert_at_least_google_s(parts, delta)


def assert_at_least_google_s(parts: list[Step], delta: float) -> None:
    spends = [spend(*part) for part in parts]
    assume(epsilon_rdp(spends, delta) < 60)  # above, Google's overflows
    widest = max(1 / sigma**2 + 10 / sigma for _, sigma, _ in parts)  # of a step's losses
    least = google(parts, delta, widest / 20_000, pessimistic=False)
    assert epsilon_prv(spends, delta) >= least * (1 - 1e-9)
    assert epsilon_rdp(spends, delta) >= least * (1 - 1e-9)


@pytest.mark.parametrize("delta", [1e-5, 1.1e-9, 1.1e-10])
@pytest.mark.parametrize("steps", [10**6, 10**7, 10**9])
def test_rounding_understates_nothing_however_many_steps(steps: int, delta: float) -> None:
    """So many steps with so small losses are one Gaussian's, to 1e-4 of ε (Dong, Roth, Su 2022, theorem 5.4)."""
    noise = 1 / math.sqrt(math.log1p(0.25 / (steps * 0.25)))

    def excess(epsilon: float) -> float:  # of a Gaussian of µ = 0.5
        low, high = log_ndtr(0.25 - 2 * epsilon), epsilon + log_ndtr(-0.25 - 2 * epsilon)
        return float(math.exp(low) - math.exp(high) - delta)

    truth = brentq(excess, 0.0, 20.0, xtol=1e-12)
    assert epsilon_prv([spend(0.5, noise, steps)], delta) >= truth


# Units within units


def farthest(q: float, sigma: float, steps: int, one: float, other: float, mesh: float = 4e-3) -> float:
    """The ε between a drawn unit that contributes ``one`` and one that contributes ``other``, rounded down.

    By their losses' distribution on a mesh, convolved ``steps`` times: no accountant of ours has a part in it.
    """
    x = np.linspace(min(0, one, other) - 10 * sigma, max(0, one, other) + 10 * sigma, 40_001)
    centre = (1 - q) * np.exp(-((x / sigma) ** 2) / 2)
    left, right = (centre + q * np.exp(-(((x - mean) / sigma) ** 2) / 2) for mean in (one, other))
    place = np.floor(np.log(left / right) / mesh).astype(int)
    mass = np.bincount(place - place.min(), weights=left / left.sum())
    size = 1 << int(len(mass) * steps).bit_length()
    total = np.maximum(np.fft.irfft(np.fft.rfft(mass, size) ** steps, size), 0)
    losses = (np.arange(size) + place.min() * steps) * mesh

    def delta(epsilon: float) -> float:
        return float(total @ np.maximum(0, -np.expm1(np.minimum(0, epsilon - losses))))

    return float(brentq(lambda epsilon: delta(epsilon) - DELTA, 0.0, 60.0))


@pytest.mark.parametrize(("q", "sigma", "steps"), [(1.0, 4.0, 10), (0.9, 4.0, 30), (0.5, 6.0, 100), (0.1, 1.5, 50)])
def test_what_hides_a_speaker_tells_of_a_recording_at_most_what_half_the_noise_tells(
    q: float, sigma: float, steps: int
) -> None:
    """A recording goes, and a speaker's clipped mean moves from one end of the ball to the other, where it is drawn."""
    own = Spend(unit="speaker", sample_rate=q, noise_multiplier=sigma, steps=steps)
    told = epsilon_prv([own.toward("utterance")], DELTA)
    pairs = [(1.0, -1.0), (1.0, 0.0), (0.0, 1.0), (1.0, -0.5)]
    found = [farthest(q, sigma, steps, *pair) for pair in pairs]
    assert max(found) == found[0] <= told
    assert found[0] > epsilon_prv([own], DELTA)  # what the speaker's own figure would have said
    if q == 1:
        assert found[0] == pytest.approx(told, abs=steps * 4e-3)
