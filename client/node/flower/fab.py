"""What a run is, as the site itself finds it: nothing that the server says of a bundle is taken for granted.

The server names a bundle's hash, its id and its version. The site computes the hash over the bytes that it received,
reads id, version and default settings out of them, and goes by those. No file of the bundle is imported here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import Self

from flwr.app.user_config import UserConfig
from flwr.common.config import get_fab_config, get_fused_config_from_fab, get_metadata_from_config
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run

from client.node.policy.document import Policy
from common.config.run_config import parse_run_config
from common.config.settings import Config
from common.errors import FedserError, UsageError

_PROJECT_BYTES = 2**20  # of the bundle's pyproject.toml, unpacked


@dataclass(frozen=True, kw_only=True)
class CheckedRun:
    """A run whose bundle the site has checked.

    Attributes:
        run: with the hash of the site's own, and, as nothing may be shared between runs, a series of its own.
        fab: the bytes that were checked; what is handed on is this.
        settings: the run config, flat: the bundle's defaults with what the run's starter changed.
        config: the same, read.
        policy: as it was when the message in hand came.
    """

    run: Run
    fab: Fab
    settings: UserConfig
    config: Config
    policy: Policy

    def under(self, policy: Policy) -> Self:
        """The same under the policy as it is now, which may not be the one that allowed the run.

        Raises:
            NotAllowed: it does not allow it.
        """
        if policy == self.policy:
            return self
        if reason := policy.refusal(self.fab.hash_str, self.config):
            raise NotAllowed(reason, told=True)
        return dataclasses.replace(self, policy=policy)


class NotAllowed(FedserError):  # noqa: N818 - it is a decision, not a fault
    """A run that the site does not take part in.

    Args:
        reason: for the site's own log.
        told: whether the coordinator is told it too: where it is made of the run's settings and the policy alone.
    """

    def __init__(self, reason: str, *, told: bool = False) -> None:
        super().__init__(reason)
        self.told = told


def hash_of(fab: Fab) -> str:
    """SHA-256 of a bundle, over the bytes that were received."""
    return hashlib.sha256(fab.content).hexdigest()


def check_run(run: Run, fab: Fab, policy: Policy) -> CheckedRun:
    """Check a run and its bundle against the policy.

    Args:
        run: as the server tells of it.
        fab: as it was received; its ``hash_str`` is the server's word.
        policy: of the site.

    Raises:
        NotAllowed: the policy does not allow it, or it is not what it says.
    """
    digest = hash_of(fab)
    if digest not in policy.bundle.hashes:  # such a bundle is not even unpacked
        raise NotAllowed(policy.refusal(digest, Config()) or f"the bundle {digest} is not allowed", told=True)
    if run.primary_task_type not in ("", TaskType.SERVER_APP):
        raise NotAllowed(f"the run starts a {run.primary_task_type}, expected a {TaskType.SERVER_APP}")
    settings = _settings(run, fab)
    try:
        config = parse_run_config(settings)
    except UsageError as error:
        raise NotAllowed(f"the run's settings are none that this site knows: {error}", told=True) from None
    if reason := policy.refusal(digest, config):
        raise NotAllowed(reason, told=True)
    checked = dataclasses.replace(run, fab_hash=digest, series_id=run.run_id, override_config=dict(run.override_config))
    return CheckedRun(run=checked, fab=Fab(digest, fab.content, {}), settings=settings, config=config, policy=policy)


def _settings(run: Run, fab: Fab) -> UserConfig:
    """The run config, where the bundle is what the server says."""
    try:
        size = zipfile.ZipFile(io.BytesIO(fab.content)).getinfo("pyproject.toml").file_size
        if size > _PROJECT_BYTES:
            raise NotAllowed(f"the bundle's pyproject.toml has {size} bytes, expected at most {_PROJECT_BYTES}")
        named = get_metadata_from_config(get_fab_config(fab.content))
        settings: UserConfig = get_fused_config_from_fab(fab.content, run)
    except NotAllowed:
        raise
    except Exception as error:  # whatever a zip that was made by hand makes of its readers
        raise NotAllowed(f"the bundle cannot be read ({type(error).__name__}: {error})") from None
    if named != (run.fab_id, run.fab_version):
        raise NotAllowed(
            f"the bundle is {' '.join(named)}, but the server says that it is {run.fab_id} {run.fab_version}"
        )
    return settings
