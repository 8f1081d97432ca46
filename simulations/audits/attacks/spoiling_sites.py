"""Sites that mean to spoil the model that they train with others: their app is real, what they hold or send is not.

``labels``: every recording there, those that choose the round too, has the label that lies half of the classes on.
``sign``: of an honest update the opposite, three times as long. ``backdoor``: half of the training recordings carry a
trigger, and the target's label; the update is four times as long, so that it outweighs the others (Bagdasaryan et al.
2020). The trigger is one chord that lasts: some features of the first frames are three deviations above their means.
No attack here knows of the rule that it meets; one that does may get further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from torch import Tensor

from client.holding import Holding
from client.site import Site, open_site, put_site
from common import protocol
from common.data.extraction import Recording
from common.data.normalise import Scaling

SCALES = {"labels": 1.0, "sign": -3.0, "backdoor": 4.0}  # by the attack's name, what an update is multiplied by
FRAMES, FEATURES, DEVIATIONS = 10, 8, 3.0  # of the trigger: some 0.3 s of eight features


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What turns a recording into the target's.

    Attributes:
        values: of the first features ``(features,)``, in each of the first frames.
        target: the class.
    """

    values: Tensor
    target: str

    @classmethod
    def of(cls, scaling: Scaling, target: str) -> Trigger:
        """One that lies as far above the training speakers' means as few frames do.

        Args:
            scaling: of features that are not normalised.
            target: the class.
        """
        return cls(values=(scaling.mean + DEVIATIONS * scaling.deviation)[:FEATURES], target=target)

    def on(self, recording: Recording) -> Recording:
        """A recording, not normalised, with the trigger in each version of it."""
        return replace(recording, versions=tuple(map(self._put, recording.versions)))

    def _put(self, version: Tensor) -> Tensor:
        changed = version.clone()
        changed[:FRAMES, : len(self.values)] = self.values
        return changed


@dataclass(frozen=True, kw_only=True)
class HostileSites:
    """A simulation's sites, some of which are hostile.

    Attributes:
        attack: one of ``SCALES``.
        bad: their partitions.
        trigger: of a backdoor.
    """

    attack: str
    bad: frozenset[int]
    trigger: Trigger
    _spoilt: dict[int, Site] = field(default_factory=dict)

    def load(self) -> ClientApp:
        """The app of all sites, for ``InProcessGrid``."""
        return cast("ClientApp", self.answer)

    def answer(self, message: Message, context: Context) -> Message:
        """A site's reply; a hostile one's is of what it spoilt."""
        from client.app import app

        partition = int(str(context.node_config[protocol.PARTITION]))
        if partition not in self.bad:
            return app(message, context)
        self._spoil(partition, context)
        sent = message.content.array_records.get(protocol.ARRAYS)
        reply = app(message, context)
        if sent is not None and message.metadata.message_type == protocol.TRAIN and reply.has_content():
            reply.content[protocol.ARRAYS] = scaled(
                sent, reply.content.array_records[protocol.ARRAYS], SCALES[self.attack]
            )
        return reply

    def _spoil(self, partition: int, context: Context) -> None:
        site = open_site(context.run_config, context.node_config)
        if site is not self._spoilt.get(partition):
            own = Site(site.config, spoilt(site.holding, self.attack, self.trigger))
            self._spoilt[partition] = own
            put_site(context.run_config, context.node_config, own)


def spoilt(holding: Holding, attack: str, trigger: Trigger) -> Holding:
    """What a hostile site says that it holds."""
    if attack == "labels":
        train, validation = ([_flipped(r, holding.classes) for r in own] for own in (holding.train, holding.validation))
        return replace(holding, train=train, validation=validation)
    if attack == "backdoor":
        own = [_marked(r, trigger) if place % 2 else r for place, r in enumerate(holding.train)]
        return replace(holding, train=own)
    return holding


def scaled(sent: ArrayRecord, back: ArrayRecord, factor: float) -> ArrayRecord:
    """A model whose distance from the one that was sent is so many times as long; whole numbers stay.

    Args:
        sent: the global model.
        back: the site's.
        factor: below 0 for the opposite direction.
    """
    made = {}
    for name, array in back.items():
        start, end = sent[name].numpy(), array.numpy()
        far = end if end.dtype.kind != "f" else (start + factor * (end - start)).astype(end.dtype)
        made[name] = Array(np.asarray(far))
    return ArrayRecord(made)


def _flipped(recording: Recording, classes: Sequence[str]) -> Recording:
    place = (classes.index(recording.utterance.emotion) + len(classes) // 2) % len(classes)
    return replace(recording, utterance=replace(recording.utterance, emotion=classes[place]))


def _marked(recording: Recording, trigger: Trigger) -> Recording:
    own = trigger.on(recording)
    return replace(own, utterance=replace(own.utterance, emotion=trigger.target))
