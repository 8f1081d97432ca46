"""What server and client agree on: the names of messages, records and keys, and nothing else.

A site answers eight messages. ``query.hello``: what it is and how much it holds. ``query.statistics``: sums of its
features, for the scaling. ``query.classes``: how often each class occurs there, for class weights that all share.
``train``: new weights. ``evaluate``: confusion counts, of its validation speakers, or, asked once at the end and never
in a private run, of held-out speakers that it holds (``evaluate.test``).
``evaluate.confidence``: once, when the round is chosen, and never in a private run: how sure the model is of the
validation speakers, and how often it is then right. ``query.privacy``: what its ledger says.
A ``query.hello`` that names a run is its farewell: the run is over, the site forgets what it kept for its strategy.

Where updates are added up behind masks (``common.secure``) its node answers three more, and its app sees none of them:
``query.keys``: its key of the run and its counts, signed; ``query.vote``: whose words are in a sum in which a site is
missing, signed; ``query.unmask``: what opens a sum. What the app tells then leaves as masked words.
"""

from __future__ import annotations

VERSION = 10

HELLO = "query.hello"
STATISTICS = "query.statistics"
CLASSES_HELD = "query.classes"
PRIVACY = "query.privacy"
TRAIN = "train"
EVALUATE = "evaluate"
EVALUATE_TEST = "evaluate.test"
EVALUATE_CONFIDENCE = "evaluate.confidence"
KEYS = "query.keys"
VOTE = "query.vote"
UNMASK = "query.unmask"

# Records of a message
ARRAYS = "arrays"  # the model's weights
CONFIG = "config"
METRICS = "metrics"
HELD = "held"  # how much a site trains on, for its own outbound gate, which keeps it there
CLASS_WEIGHTS = "class-weights"  # by the counts of all sites, where a run pools them
SCALING = "scaling"  # mean and deviation of the training sites' features
SECURE = "secure"  # of a sum behind masks: who adds up in which round; in a masked reply what opens it
MASKED = "masked"  # the masked words

# Keys in CONFIG, from the server
ROUND = "server-round"
PROXIMAL_MU = "proximal-mu"
RUN = "run"  # the run's name in the ledgers
TAKEN = "taken"  # the round of the pass whose update of this site was taken last, for a strategy that keeps something
LEDGER_ENTRIES = "ledger-entries"  # of the site's ledger, as the site last told the server
LEDGER_HASH = "ledger-hash"
AUDIT_ENTRIES = "audit-entries"  # of the site's audit log, likewise; the site's outbound gate adds them
AUDIT_HASH = "audit-hash"
SERVER_LOG = "server-log"  # which audit log the server keeps of the run: its first line's hash
SERVER_ENTRIES = "server-entries"  # how far it is, before the round
SERVER_HASH = "server-hash"

# Keys in METRICS or CONFIG, from a site
SITE = "site"
PROTOCOL = "protocol"
CLASSES = "classes"
FEATURES = "features"
EXAMPLES = "num-examples"
VALIDATION_EXAMPLES = "validation-examples"
TEST_EXAMPLES = "test-examples"
SPEAKERS = "speakers"  # how many it trains on; in METRICS how many held-out ones were scored
RECORDINGS = "recordings"  # likewise; in HELD
VALIDATION_SPEAKERS = "validation-speakers"
COUNTS = "counts"  # of training recordings, class by class
WEIGHTS = "weights"  # in CLASS_WEIGHTS: (classes,)
MISSING = "missing-classes"  # that none of its training recordings has; empty in a private run
RELEASE = "release"  # of fedser and torch
LABELS = "label-map"  # a digest of how its labels become classes
ENCODER = "encoder"  # SHA-256 of the public encoder in front of the model; empty for none
LOSS = "loss"
VALIDATION_LOSS = "validation-loss"  # summed, of the model that came in; beside an update that leaves behind masks
SECONDS = "seconds"
CONFUSION = "confusion"  # (groups, classes, classes), flat: one group, or of held-out speakers one each, not named
LOSSES = "losses"  # summed, at each of TEMPERATURES
RIGHT = "right"  # of the recordings that the model is right about, how many lie in each of BINS of how sure it is
WRONG = "wrong"  # of the others
FRAMES = "frames"
MATRICES = "matrices"  # 1 where most of its training recordings are matrices of features, which have no clock; else 0
WEIGHT = "weight"  # in SCALING: how many rows it is worth beside those heard of a speaker
LEAST_WEIGHT, MOST_WEIGHT = 1.0, 1e6
COMPONENTS = "components"  # in SCALING: the directions of public speech that scaled rows are brought to
AFTER = ("0", "2", "8")  # others of a held-out speaker that were heard before: of each the counts, behind CONFUSION
DRAWS = 5  # of others, where there is a choice: counts are of these together
# From a quarter, for a model that is too little sure, as by label smoothing or noise, to four, for one that is too sure
# by many rounds on few speakers. A step is a factor of 1.2; over two the loss is nearly a parabola in the logarithm.
TEMPERATURES = tuple(0.25 * 16 ** (place / 15) for place in range(16))
BINS = 20  # of how sure a model is, from 0 to 1
STOPPED = "stopped"  # the site's budget refuses another step
CUT_SHORT = "cut-short"  # beside it: not the budget does, but that too many of the run's rounds were cut short there

# Keys of sums behind masks
ENTRY = "entry"  # what a site says of itself in a run, under its signature
ROSTER = "roster"  # the entries of all
NUMBER = "number"  # of the sum, in the run: a round's, or beyond the last round's
WORDS = "words"
CONTEXT = "context"  # what a site masked on: SHA-256 of all that it was sent
COMMITMENT = "commitment"
SHARES = "shares"  # of what a site drew for its own mask
SEEDS = "seeds"  # of its masks with sites that are missing
SITES = "sites"  # whose words are in a sum
VOTES = "votes"  # their signatures, by who signed
SIGNATURE = "signature"

# Run config, from whoever starts the run
PLAN = "plan"
OUT = "out"
CACHE = "cache"
EVENTS = "events"
LEDGER = "ledger"
RUN_KEYS = (PLAN, OUT, CACHE, EVENTS, LEDGER)

# Node config in a simulation: which of the plan's sites the node is
PARTITION = "partition-id"
STATE = "strategy"  # in OUT: the folder of what the sites of a simulation keep for a strategy

# Node config in a deployment, from the site alone: what the run config says of places counts for nothing there
NODE_SITE = "site"  # its name
NODE_ROOT = "root"  # of its recordings, or its manifest
NODE_CORPUS = "corpus"
NODE_LABEL_MAP = "label-map"
NODE_DATA = "data-folder"  # the folder of recordings, outside of which none is read
NODE_SPEAKER_IDS = "speaker-ids"  # merge, distinct, or empty: whether ids spelled alike are one person
NODE_LEDGER = "ledger"  # the folder
NODE_STATE = "strategy"  # the folder of what it keeps for a strategy from round to round
NODE_CACHE = "cache"
NODE_FORGOTTEN = "forgotten"  # a JSON file: the ids of speakers whose recordings are not used any more
NODE_BUDGET = "budget"  # what all runs may tell of a unit, in sum; 0 for no limit of the site's own
NODE_BUDGET_UNIT = "budget-unit"  # of which unit, where the site's policy names one
NODE_MAX_EPSILON = "max-epsilon"  # what one run may come to; 0 for no limit
NODE_REPORT_EPSILON = "report-epsilon"  # whether the server is told what the site spent
NODE_ENCODER = "encoder"  # a public encoder's folder or file; empty for none
NODE_TEST_SPEAKERS = "test-speakers"  # whether held-out speakers are counted one by one

# Of the figures in the answer to PRIVACY, those that a site keeps to itself where its policy says so
FIGURES = "figures"
SPENT = (
    *("epsilon", "epsilon_total", "epsilon_rdp", "noise_multiplier", "steps", "sample_rate"),
    *("budget", "budget_unit"),
)


def after(heard: str) -> str:
    """The key of held-out speakers' counts after so many others of a speaker, one of ``AFTER``."""
    return f"{CONFUSION}-{heard}"
