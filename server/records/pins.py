"""What the checkpoint of a simulation says of the sites' own states, so that a run is gone on with as it was."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from common.config.settings import FederationConfig
from common.errors import FederationError
from common.storage.state_store import StateStore
from server.run.checkpoint import State


class Pins:
    """The states of all sites on this machine.

    Args:
        folder: where they lie.
        config: numbers the rounds.
        sites: their names.
    """

    def __init__(self, folder: Path, config: FederationConfig, sites: Iterable[str]) -> None:
        self._folder, self._config, self._sites = folder, config, tuple(sites)

    def pin(self, state: State) -> None:
        """Note in the run's state what each site has kept of the round whose update was taken last."""
        state.kept = self._kept(state)

    def check(self, state: State) -> None:
        """Refuse to go on where a site does not have what it had.

        Raises:
            FederationError: a site's is missing, or another.
        """
        found = self._kept(state) if state.kept else {}
        if odd := sorted(site for site in state.kept if found.get(site) != state.kept[site]):
            raise FederationError(
                f"{self._folder}: what {', '.join(odd)} kept for the strategy is not that of round {state.round}; put "
                "the run's whole folder back, or start anew with --overwrite"
            )

    def _kept(self, state: State) -> dict[str, str]:
        stage, _ = self._config.pass_round(state.round)
        taken = {site: state.last_taken(site, stage, self._config.rounds) for site in self._sites}
        return {site: StateStore(self._folder, site, state.run).fingerprint(stage, n) for site, n in taken.items()}
