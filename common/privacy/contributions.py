"""The sum of a noisy step's contributions, which no unit's content can keep from being made.

Guarantee: whether a step is made, and what the other units add to it, does not depend on what a unit holds. A unit
whose gradient cannot be computed adds nothing, as one whose gradient is not finite does
(``common.privacy.mechanism.clip_factors``): the step is made again without it, of the same random numbers, and comes to
what it would be if that unit's place were empty, bit for bit. Where the others can't be computed together either, as
when they take too much memory, each is computed alone. Not promised: how long it takes, and the last digits of a sum in
floating point, which padding moves. A process that is killed is the ledger's affair.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from common.privacy.mechanism import PrivateOptimizer

log = logging.getLogger("fedser.privacy")

Unit = list[int]  # its recordings, by their places in the dataset
Gradients = Callable[[Sequence[Unit]], Iterator[None]]


class StepSum:
    """The contributions to each step of one round.

    Args:
        model: whose parameters get the gradients.
        optimizer: clips and sums them.
        gradients: of some units; after each turn ``grad_sample`` holds those of a few.
        random: of copies and masks.
    """

    def __init__(
        self, model: nn.Module, optimizer: PrivateOptimizer, gradients: Gradients, random: torch.Generator
    ) -> None:
        self._model, self._optimizer, self._gradients, self._random = model, optimizer, gradients, random
        self._told = False

    def add(self, drawn: Sequence[Unit], seed: int) -> None:
        """Clip and sum the gradients of the units that were drawn.

        Args:
            drawn: in the order of their places; a unit without a recording adds nothing.
            seed: of torch's own random numbers, which dropout takes.
        """
        before = self._random.get_state()
        held = [unit for unit in drawn if unit]
        if self._made(held, before, seed):
            return
        sound = [unit for unit in held if self._computes(unit)]
        self._say(len(held) - len(sound))
        if not self._made(sound, before, seed):
            self._begin(before, seed)
            for unit in sound:
                self._add_alone(unit)

    def _made(self, units: Sequence[Unit], before: torch.Tensor, seed: int) -> bool:
        """Whether all could be added; where not, nothing is."""
        self._begin(before, seed)
        try:
            for _ in self._gradients(units):
                accumulate(self._optimizer)
        except Exception:
            log.debug("a step's units could not be computed together", exc_info=True)
            self._clear()
            return False
        return True

    def _computes(self, unit: Unit) -> bool:
        """Whether a unit's gradient can be computed alone; it is not added."""
        try:
            for _ in self._gradients([unit]):
                self._optimizer.zero_grad(set_to_none=True)
        except Exception:
            if not self._told:
                log.exception("a unit's part cannot be computed, and adds nothing")
            self._told = True
            self._clear(summed=False)
            return False
        return True

    def _add_alone(self, unit: Unit) -> None:
        try:
            for _ in self._gradients([unit]):
                accumulate(self._optimizer)
        except Exception:
            self._clear(summed=False)
            self._say(1)

    def _begin(self, before: torch.Tensor, seed: int) -> None:
        self._random.set_state(before)
        torch.manual_seed(seed)

    def _clear(self, *, summed: bool = True) -> None:
        """Forget what a pass that raised left in the parameters, and in the layers that Opacus hooks into."""
        for parameter in self._optimizer.params:
            parameter.grad = parameter.grad_sample = None
            parameter.__dict__.pop("_current_grad_sample", None)
            if hasattr(parameter, "_forward_counter"):
                parameter._forward_counter = 0
            if summed:
                parameter.summed_grad = None
        self._optimizer._step_skip_queue.clear()
        for module in self._model.modules():
            module.__dict__.pop("activations", None)
            module.__dict__.pop("max_batch_len", None)

    @staticmethod
    def _say(left_out: int) -> None:
        """To the site alone: its log is not sent."""
        if left_out:
            log.warning("%d of a step's units could not be computed, and add nothing", left_out)


def accumulate(optimizer: PrivateOptimizer) -> None:
    """Clip what the last backward pass left, add it to the step's sum, and don't step yet."""
    optimizer.signal_skip_step(True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
