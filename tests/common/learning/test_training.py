import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.config.settings import AugmentConfig, Config, ModelConfig, TrainingConfig
from common.data.dataset import SpeechDataset
from common.learning.training import Evaluated, Loss, class_weights, evaluate, learning_rate, train
from common.models.architectures import build_model
from common.models.model import EmotionModel
from tests.common.examples import random_recordings, recording

CLASSES = ("anger", "neutral", "sadness")
FEATURES = 4
PLAIN = TrainingConfig(
    least_steps=0,
    optimizer="adamw",
    weight_decay=0.0,
    batch_size=4,
    local_epochs=1,
    loss="cross-entropy",
    label_smoothing=0.0,
    class_weights="none",
    clip_norm=0.0,
)
STILL = AugmentConfig(time_masks=0, feature_masks=0)


def data(speakers: int = 3, each: int = 6) -> SpeechDataset:
    return SpeechDataset(random_recordings(speakers=speakers, each=each, features=FEATURES, classes=CLASSES), CLASSES)


def fresh(dropout: float = 0.3) -> EmotionModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(projection=6, hidden=5, attention=4, dropout=dropout)
        return build_model(FEATURES, len(CLASSES), Config(model=config))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(config: TrainingConfig = PLAIN, augment: AugmentConfig = STILL, **options: Any) -> Tensor:
    model = fresh(options.pop("dropout", 0.3))
    train(model, options.pop("data", None) or data(), config, augment, **{"rate": 0.01, "seed": 1, **options})
    return weights(model)


def test_a_site_with_few_recordings_makes_the_least_steps() -> None:
    ten = data(speakers=2, each=5)  # three steps a pass at batches of four
    config = dataclasses.replace(PLAIN, batch_size=4, local_epochs=2)
    floor = dataclasses.replace(config, least_steps=10)
    assert (config.passes(10), floor.passes(10), floor.steps(10), floor.passes(400)) == (2, 4, 12, 2)
    assert torch.equal(trained(floor, data=ten), trained(dataclasses.replace(config, local_epochs=4), data=ten))


def test_by_default_a_speakers_recordings_make_48_steps_and_a_large_site_stays_as_it_is() -> None:
    config = TrainingConfig()
    assert (config.passes(60), config.steps(60)) == (6, 48)  # one actor of RAVDESS
    assert (config.passes(240), config.steps(240)) == (config.local_epochs, 60)  # four


class Straight(nn.Module):
    """Logits that are the first frame: one weight a class, all of them 1 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(len(CLASSES)))

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        return batch[:, 0, : len(CLASSES)] * self.scale


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    augment = AugmentConfig(time_masks=2, feature_masks=2)
    config = dataclasses.replace(PLAIN, local_epochs=2)
    first = trained(config, augment)
    torch.rand(7)
    assert torch.equal(trained(config, augment), first)
    assert not torch.equal(trained(config, augment, seed=2), first)


@pytest.mark.parametrize("what", ["order", "dropout", "masks"])
def test_the_seed_reaches(what: str) -> None:
    augment = (
        AugmentConfig(time_masks=3, feature_masks=3, time_width=0.9, feature_width=0.9) if what == "masks" else STILL
    )
    size = PLAIN if what == "order" else dataclasses.replace(PLAIN, batch_size=100)
    runs = [trained(size, augment, seed=s, dropout=0.3 if what == "dropout" else 0.0) for s in (1, 2)]
    assert not torch.allclose(runs[0], runs[1], atol=1e-4)


def test_without_anything_random_the_seed_does_not_matter() -> None:
    config = dataclasses.replace(PLAIN, batch_size=100, optimizer="sgd")
    torch.testing.assert_close(*(trained(config, seed=s, dropout=0.0) for s in (1, 2)), atol=1e-5, rtol=0)


def test_training_leaves_the_global_random_state_alone() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    trained(augment=AugmentConfig(time_masks=2, feature_masks=2))
    evaluate(fresh(), data())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state)


@pytest.mark.parametrize(
    "change",
    [{}, {"optimizer": "sgd"}, {"loss": "focal"}, {"class_weights": "own", "label_smoothing": 0.1, "clip_norm": 5.0}],
)
def test_every_recipe_learns(change: dict[str, Any]) -> None:
    model, rows = fresh(dropout=0.0), data()
    before = evaluate(model, rows)
    config = dataclasses.replace(PLAIN, local_epochs=30, **change)
    told = train(model, rows, config, STILL, rate=0.02, seed=0)
    after = evaluate(model, rows)
    assert (after.examples, told.examples) == (18, 18)
    assert after.loss < 0.5 * before.loss
    assert sum(np.trace(c) for c in after.confusion.values()) >= 16


def test_what_a_site_tells_of_its_training() -> None:
    model = Straight()
    frames = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    rows = SpeechDataset([recording(frames, "a", "anger"), recording(frames, "a", "neutral")], CLASSES)
    config = dataclasses.replace(PLAIN, local_epochs=3)
    told = train(model, rows, config, STILL, rate=1e-12, seed=0)
    total = math.log(math.exp(2) + 2)
    assert told.examples == 2
    assert told.loss == pytest.approx(total - 1.0, abs=1e-6)
    assert told.seconds > 0


def test_a_batch_of_one() -> None:
    rows = data(speakers=1, each=1)
    assert trained(data=rows).isfinite().all()
    masks = AugmentConfig(time_masks=2, feature_masks=2)
    assert trained(dataclasses.replace(PLAIN, batch_size=1), masks).isfinite().all()


def test_class_weights_are_the_inverse_shares() -> None:
    # Six, two and none of eight: each class that is there weighs as much as the other.
    assert class_weights(torch.tensor([0] * 6 + [1] * 2), 3).tolist() == pytest.approx([8 / 2 / 6, 8 / 2 / 2, 0.0])
    assert class_weights(torch.tensor([0, 1, 2]), 3).tolist() == [1.0, 1.0, 1.0]


def test_class_weights_even_out_the_gradient() -> None:
    """Nine of one class pull as hard as one of the other."""
    rows = [recording(torch.zeros(1, FEATURES), "a", "anger") for _ in range(9)]
    rows.append(recording(torch.zeros(1, FEATURES), "a", "neutral"))

    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
            return self.bias.expand(len(batch), 3)

    for on, expected in (("own", [1 / 6, 1 / 6, -1 / 3]), ("none", [0.9 - 1 / 3, 0.1 - 1 / 3, -1 / 3])):
        model = Bias()
        config = dataclasses.replace(PLAIN, optimizer="sgd", class_weights=on, batch_size=10)
        train(model, SpeechDataset(rows, CLASSES), config, STILL, rate=1.0, seed=0)
        assert model.bias.tolist() == pytest.approx(expected, abs=1e-6)


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
LABELS = torch.tensor([0, 2])


def test_focal_loss_by_hand() -> None:
    config = dataclasses.replace(PLAIN, loss="focal", focal_gamma=2.0)
    right = [math.exp(2) / (math.exp(2) + 1 + math.exp(-1)), 1 / (2 * math.exp(0.5) + 1)]
    each = [-((1 - p) ** 2) * math.log(p) for p in right]
    assert float(Loss(config, None)(LOGITS, LABELS)) == pytest.approx(sum(each) / 2, rel=1e-5)
    weighted = Loss(config, torch.tensor([1.0, 1.0, 3.0]))(LOGITS, LABELS)
    assert float(weighted) == pytest.approx((each[0] + 3 * each[1]) / 4, rel=1e-5)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 3.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_without_focus_is_cross_entropy(weights: Tensor | None, smoothing: float) -> None:
    focal = dataclasses.replace(PLAIN, loss="focal", focal_gamma=0.0, label_smoothing=smoothing)
    plain = dataclasses.replace(PLAIN, label_smoothing=smoothing)
    torch.testing.assert_close(Loss(focal, weights)(LOGITS, LABELS), Loss(plain, weights)(LOGITS, LABELS))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_certain_answer_has_a_gradient(gamma: float) -> None:
    logits = torch.tensor([[80.0, 0.0, 0.0], [0.0, 1.0, 0.0]], requires_grad=True)
    Loss(dataclasses.replace(PLAIN, loss="focal", focal_gamma=gamma), None)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[1] != 0).all()


def test_label_smoothing_by_hand() -> None:
    config = dataclasses.replace(PLAIN, label_smoothing=0.3)
    log = torch.log_softmax(LOGITS[:1], dim=1)[0]
    expected = -(0.8 * log[0] + 0.1 * log[1] + 0.1 * log[2])
    assert float(Loss(config, None)(LOGITS[:1], LABELS[:1])) == pytest.approx(float(expected), rel=1e-5)


def test_cosine_schedule_over_the_federations_rounds() -> None:
    config = TrainingConfig(learning_rate=0.002, schedule="cosine")
    assert learning_rate(config, 1, 40) == 0.002
    assert learning_rate(config, 21, 40) == pytest.approx(0.001)
    assert learning_rate(config, 40, 40) == pytest.approx(0.001 * (1 - math.cos(math.pi / 40)))
    assert learning_rate(config, 40, 40) > 0
    rates = [learning_rate(config, r, 40) for r in range(1, 41)]
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(config, 1, 1) == 0.002


def test_constant_schedule() -> None:
    config = TrainingConfig(learning_rate=0.002, schedule="constant")
    assert {learning_rate(config, r, 40) for r in range(1, 41)} == {0.002}


def sgd(**change: Any) -> TrainingConfig:
    return dataclasses.replace(PLAIN, optimizer="sgd", momentum=0.0, batch_size=1, **change)


ONE = SpeechDataset([recording(torch.tensor([[1.0, 2.0, 3.0, 0.0]]), "a", "anger")], CLASSES)


def one_gradient() -> Tensor:
    frame = torch.tensor([1.0, 2.0, 3.0])
    return frame * (torch.softmax(frame, 0) - torch.tensor([1.0, 0.0, 0.0]))


def test_sgd_takes_the_gradient_and_its_momentum() -> None:
    model = Straight()
    train(model, ONE, sgd(), STILL, rate=0.1, seed=0)
    torch.testing.assert_close(model.scale.detach(), 1 - 0.1 * one_gradient())
    heavy = Straight()
    train(heavy, ONE, dataclasses.replace(sgd(local_epochs=2), momentum=0.9), STILL, rate=1e-4, seed=0)
    torch.testing.assert_close(1 - heavy.scale.detach(), 2.9e-4 * one_gradient(), rtol=1e-2, atol=0)


def test_adamw_steps_by_the_rate_and_decays_the_weights() -> None:
    model = Straight()
    train(model, ONE, dataclasses.replace(PLAIN, weight_decay=0.5), STILL, rate=0.1, seed=0)
    step = 0.1 * torch.sign(one_gradient())  # Adam's first step has the size of its rate
    torch.testing.assert_close(model.scale.detach(), 1 - 0.1 * 0.5 - step, rtol=1e-4, atol=0)


def test_gradients_are_clipped_to_a_norm() -> None:
    model = Straight()
    assert one_gradient().norm() > 1.5
    train(model, ONE, sgd(clip_norm=0.5), STILL, rate=1.0, seed=0)
    torch.testing.assert_close((model.scale.detach() - 1).norm(), torch.tensor(0.5), rtol=1e-4, atol=0)
    torch.testing.assert_close(
        1 - model.scale.detach(), 0.5 * one_gradient() / one_gradient().norm(), rtol=1e-4, atol=0
    )


def test_the_proximal_term_pulls_to_the_start() -> None:
    """With w0 = 1: w1 = w0 - r g(w0), then w2 = w1 - r (g(w1) + mu (w1 - w0)), from Li et al. 2020."""
    rate, mu = 0.1, 3.0
    free, bound, first = Straight(), Straight(), Straight()
    train(first, ONE, sgd(), STILL, rate=rate, seed=0)
    for model, weight in ((free, 0.0), (bound, mu)):
        train(model, ONE, sgd(local_epochs=2), STILL, rate=rate, seed=0, proximal_mu=weight)
    torch.testing.assert_close(bound.scale, free.scale - rate * mu * (first.scale - 1))


def test_a_huge_proximal_term_keeps_the_weights_at_the_start() -> None:
    start = weights(fresh())
    config = dataclasses.replace(PLAIN, local_epochs=5)
    moved = [float((trained(config, rate=0.001, proximal_mu=mu) - start).norm()) for mu in (0.0, 1.0, 1e4)]
    assert moved[2] < 0.2 * moved[0]
    assert moved[1] < moved[0]


def test_the_proximal_term_is_not_in_the_reported_loss() -> None:
    config = sgd(local_epochs=3)
    losses = [train(Straight(), ONE, config, STILL, rate=1e-3, seed=0, proximal_mu=mu).loss for mu in (0.0, 1.0)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_evaluation_counts_by_speaker() -> None:
    def said(speaker: str, truth: str, taken: int) -> Any:
        frame = torch.zeros(1, FEATURES)
        frame[0, taken] = 5.0
        return recording(frame, speaker, truth, torch.full((9, FEATURES), torch.nan))  # copies are never looked at

    rows = [said("b", "anger", 0), said("a", "anger", 2), said("b", "anger", 0), said("b", "sadness", 1)]
    told = evaluate(Straight(), SpeechDataset(rows, CLASSES))
    assert list(told.confusion) == ["b", "a"]
    assert told.confusion["a"].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert told.confusion["b"].tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert told.examples == 4
    right = math.log(1 + 2 * math.exp(-5))
    assert told.loss == pytest.approx(2 * right + 2 * (right + 5), rel=1e-5)


def test_evaluation_does_not_depend_on_the_order_and_changes_nothing() -> None:
    recordings = random_recordings(speakers=3, each=30, features=FEATURES, classes=CLASSES)
    model = fresh()
    before = weights(model)
    told, other = (evaluate(model, SpeechDataset(rows, CLASSES)) for rows in (recordings, recordings[::-1]))
    assert isinstance(told, Evaluated)
    assert {s: c.tolist() for s, c in told.confusion.items()} == {s: c.tolist() for s, c in other.confusion.items()}
    assert told.loss == pytest.approx(other.loss, rel=1e-5)
    assert torch.equal(weights(model), before)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", ["cross-entropy", "focal"])
@pytest.mark.parametrize(("weight", "temperature"), [(0.0, 2.0), (0.3, 1.0), (0.5, 4.0), (1.0, 2.0)])
def test_a_teachers_share_of_the_loss_is_its_divergence_at_the_temperature(
    kind: str, weight: float, temperature: float
) -> None:
    """By the definition, sample by sample, in numpy."""
    config = dataclasses.replace(PLAIN, loss=kind, teacher_weight=weight, teacher_temperature=temperature)
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    labels, targets = torch.tensor([0, 2]), torch.tensor([[0.7, 0.1, 0.2], [0.25, 0.5, 0.25]])
    hard = float(Loss(config, None)(logits, labels))
    softened = np.exp(logits.numpy() / temperature)
    softened /= softened.sum(1, keepdims=True)
    divergence = (targets.numpy() * np.log(targets.numpy() / softened)).sum(1).mean()
    expected = (1 - weight) * hard + weight * temperature**2 * divergence
    assert float(Loss(config, None)(logits, labels, targets)) == pytest.approx(expected, rel=1e-5)


def test_who_says_what_the_teacher_says_is_at_no_distance() -> None:
    config = dataclasses.replace(PLAIN, teacher_weight=1.0, teacher_temperature=3.0)
    logits = torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    loss = Loss(config, None)(logits, torch.tensor([1]), torch.softmax(logits.detach() / 3.0, dim=1))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_a_batch_has_the_answers_for_the_versions_that_it_took() -> None:
    own = SpeechDataset([recording(torch.zeros(2, FEATURES), "a", "anger", torch.ones(3, FEATURES))] * 4, CLASSES)
    assert own.batch(torch.arange(4)).targets is None
    own.targets = [torch.tensor([[number, 0.0, 0.0], [number, 0.0, 1.0]]) for number in range(4)]
    for batch in own.epoch(2, torch.Generator().manual_seed(0)):
        assert batch.targets is not None
        moved = batch.to(torch.device("cpu")).targets
        assert moved is not None
        assert moved[:, 0].tolist() == batch.index.tolist()
        assert moved[:, 2].tolist() == [float(length == 3) for length in batch.lengths]
