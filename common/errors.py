"""The exceptions that fedser raises for a user's mistake or a broken input.

::

    FedserError                 one clear line for the user, exit code 1
    ├── UsageError (ValueError) a wrong option, an unknown key; exit code 2
    ├── CorpusError             a root that holds no such corpus, a broken manifest
    ├── AudioError              a recording that cannot be used; has a ``kind``
    ├── SplitError              folds or sites that cannot be made from these speakers
    ├── FederationError         too few sites left, a run that cannot go on
    ├── LedgerError             a ledger that is missing, or older than it was: nothing may be spent
    │   └── ChainError          a hash-chained file with an edited, dropped or moved line
    └── BudgetSpent             a noisy step that would pass the privacy budget
        └── CutShort            a run whose rounds were cut short too often at a site

Everything else that escapes is a bug, and keeps its traceback.
"""


class FedserError(Exception):
    """The base of all: says what was found, what was expected and what to do."""

    exit_code = 1


class UsageError(FedserError, ValueError):
    """A wrong option or argument."""

    exit_code = 2


class CorpusError(FedserError):
    """A root that holds no such corpus, or a manifest or label file that cannot be read."""


class AudioError(FedserError):
    """A recording that cannot be used.

    Args:
        kind: the problem in a word, as ``fedser corpus check`` lists it (``common.curation.preflight``), such as
            ``unreadable``, ``truncated`` or ``silent``.
        detail: what was found, in one line, without the path.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)  # both, so that it can be pickled back from a worker
        self.kind = kind
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class SplitError(FedserError):
    """Folds or sites that cannot be made from these speakers."""


class FederationError(FedserError):
    """A federated run that cannot go on."""


class LedgerError(FedserError):
    """A ledger of privacy that cannot be trusted; until it is mended nothing may be spent."""


class ChainError(LedgerError):
    """A hash-chained file whose lines are not those that were written."""


class BudgetSpent(FedserError):  # noqa: N818 - it is an end, not a fault
    """The next noisy step would pass the budget of privacy."""


class CutShort(BudgetSpent):
    """Too many rounds of a run were cut short after their steps were reserved: the site spends nothing more on it."""
