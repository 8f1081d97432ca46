"""A site as it took part in a run, opened again for the run's model: its kit, its recordings, who validated."""

from __future__ import annotations

from client.deployed import open_deployed
from client.node.flower.supernode import node_config, of_policy
from client.node.policy.document import Policy
from client.node.site import kit as kits
from client.node.site.node_settings import NodeSettings
from client.site import Site
from common import protocol
from common.config.settings import PATHS, flatten
from common.errors import UsageError
from common.learning.saved_model import SavedModel


def open_run(settings: NodeSettings, saved: SavedModel) -> Site:
    """The site with the recordings that it trained on, split as in the run: its seed and its share say how.

    Args:
        settings: where the kit, the state and the recordings are.
        saved: the run's model.

    Raises:
        UsageError: the kit is not whole, its encoder is another than the model's, or the model knows other features.
        CorpusError: there is no such corpus at the site.
        FedserError: nothing to train on.
    """
    site_kit = kits.read(settings.kit)
    policy = Policy.read(site_kit.policy).of_corpus(settings.corpus or site_kit.corpus)
    node = node_config(settings, site_kit) | of_policy(policy, settings.data)
    config = saved.config.with_values({**dict.fromkeys(PATHS, ""), "data.classes": list(saved.classes)})
    site = open_deployed({**flatten(config), **dict.fromkeys(protocol.RUN_KEYS, "")}, node)
    if site.features != (width := len(saved.scaling.mean)):
        raise UsageError(
            f"--model has {width} features a frame, the recordings at {settings.data} {site.features}; give the model "
            "of a run in which this site took part"
        )
    return site
