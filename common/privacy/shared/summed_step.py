"""A site's part of one summed step, in whole numbers: of the model, or of its centre in a round that finds it.

A round with shared noise has one step: after it the sites' models would differ, and what several steps of a site add to
a sum has no bound that clipping gives. What is promised of the sum stands in ``common.privacy.shared.noised_sum``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.config.kinds import CENTRE
from common.config.settings import Config
from common.data.dataset import SpeechDataset
from common.learning.centring import centred, freeze_all_but_centre, moved
from common.learning.training import device
from common.models.model import EmotionModel
from common.privacy.accounting.accountants import Spend
from common.privacy.centre import NORM, unit_means
from common.privacy.dp_sgd import PlantedUnits, Sampling
from common.privacy.shared.discrete_gaussian import discrete_gaussian
from common.privacy.shared.grid import Grid
from common.privacy.shared.noised_sum import GridSum
from common.privacy.stream import SecretStream
from common.privacy.terms import Terms


def gradient_sum(
    model: nn.Module,
    data: SpeechDataset,
    spend: Spend,
    config: Config,
    *,
    stream: SecretStream,
    canaries: PlantedUnits | None = None,
) -> dict[str, Tensor]:
    """The noised sum of a sample's clipped gradients, int32 by the parameters' names.

    Args:
        model: with the weights at which the gradients are; they stay.
        data: the site's training recordings.
        spend: what was reserved for it: one step.
        config: of the run.
        stream: of secret random numbers.
        canaries: of an audit; they see what the strongest onlooker does, who knows all of a sum but this site's units
            and the noise of M sites, this one among them.
    """
    model.to(device()).train()
    trained = _trained(model)
    grid = Grid.of(trained, config.privacy.max_grad_norm)
    summing = GridSum([*trained.values()], grid, stream)
    own = Sampling(data, spend, config.training, config.augment, config.privacy)
    with own.sums(model, summing, canaries) as add_sample:
        add_sample()
    variance = grid.variance(spend.noise_multiplier, config.privacy.honest)
    noised = summing.noised(variance)
    if canaries is not None:
        others = discrete_gaussian(stream, variance * (config.privacy.honest - 1), grid.entries)
        whole = torch.cat([own.flatten().long() for own in noised]) + torch.from_numpy(others)
        canaries.see(whole * grid.step)
    return dict(zip(trained, noised, strict=True))


def centre_sum(
    model: EmotionModel, data: SpeechDataset, spend: Spend, config: Config, *, stream: SecretStream
) -> dict[str, Tensor]:
    """The noised sum of a sample's clipped ways to the centre, int32 by the centre's name.

    Args:
        model: with the centre, which stays.
        data: the site's training recordings.
        spend: what was reserved for it: one step.
        config: of the run.
        stream: of secret random numbers.
    """
    means, centre = unit_means(model, data, spend), centred(model).centre
    with freeze_all_but_centre(model):
        [name] = _trained(model)
        grid = Grid.of({name: centre}, NORM)
        summing = GridSum([centre], grid, stream)
        drawn = stream.sample(len(means), spend.sample_rate)
        centre.grad_sample = centre.detach() - means[drawn]  # type: ignore[attr-defined]
        summing.clip_and_accumulate()
        [noised] = summing.noised(grid.variance(spend.noise_multiplier, config.privacy.honest))
    return {name: noised}


def refuse_unfit(model: EmotionModel, config: Config, terms: Terms, number: int) -> None:
    """Refuse, by public numbers alone, a round whose sum the grid could not hold at this site alone.

    Args:
        model: of the site.
        config: of the run.
        terms: of the run at this site.
        number: of the round.

    Raises:
        UsageError: as ``Grid.variance`` and ``Grid.refuse_overflow``.
    """
    state = model.state_dict()
    names = moved(state, number, config)
    norm = NORM if names == [CENTRE] else terms.max_grad_norm
    grid = Grid.of({name: state[name] for name in names}, norm)
    grid.refuse_overflow(terms.units, grid.variance(terms.noise_multiplier, config.privacy.honest), 1)


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by the names in its ``state_dict``, which a private layer renames."""
    names = {value.data_ptr(): name for name, value in model.state_dict().items()}
    return {names[parameter.data_ptr()]: parameter for parameter in model.parameters() if parameter.requires_grad}
