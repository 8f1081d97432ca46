"""What server and client agree on: the names of messages, records and keys, and nothing else.

A site answers five messages. ``query.hello``: what it is and how much it holds. ``query.statistics``: sums of its
features, for the scaling. ``train``: new weights. ``evaluate``: confusion counts, of its validation speakers, or, asked
once at the end, of held-out speakers that it holds (``evaluate.test``). ``query.privacy``: what its ledger says.
"""

from __future__ import annotations

VERSION = 2

HELLO = "query.hello"
STATISTICS = "query.statistics"
PRIVACY = "query.privacy"
TRAIN = "train"
EVALUATE = "evaluate"
EVALUATE_TEST = "evaluate.test"

# Records of a message
ARRAYS = "arrays"  # the model's weights
CONFIG = "config"
METRICS = "metrics"
SCALING = "scaling"  # mean and deviation of the training sites' features

# Keys in CONFIG, from the server
ROUND = "server-round"
PROXIMAL_MU = "proximal-mu"
RUN = "run"  # the run's name in the ledgers
LEDGER_ENTRIES = "ledger-entries"  # of the site's ledger, as the site last told the server
LEDGER_HASH = "ledger-hash"

# Keys in METRICS or CONFIG, from a site
SITE = "site"
PROTOCOL = "protocol"
CLASSES = "classes"
FEATURES = "features"
EXAMPLES = "num-examples"
VALIDATION_EXAMPLES = "validation-examples"
TEST_EXAMPLES = "test-examples"
LOSS = "loss"
SECONDS = "seconds"
CONFUSION = "confusion"  # (groups, classes, classes), flat: one group, or of test speakers one each, not named
FRAMES = "frames"
STOPPED = "stopped"  # the site's budget refuses another step

# Run config, from whoever starts the run
PLAN = "plan"
OUT = "out"
CACHE = "cache"
EVENTS = "events"
LEDGER = "ledger"
RUN_KEYS = (PLAN, OUT, CACHE, EVENTS, LEDGER)

# Node config
PARTITION = "partition-id"
