"""The sections of a run's settings, with every default; ``common.config.settings`` puts them together.

A section refuses a value that it can't have as soon as it is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from common.config.kinds import CRNN3D, KINDS, TRANSFORMER, Kind, kind_of
from common.errors import UsageError
from common.strategies.available import CATALOGUE
from common.validate import in_range, one_of, positive

MOST_WINDOWS = 8
NOISE_KINDS = ("pink", "babble", "room")


SCORES = 1000  # the set of made-up voices and rooms that scores in noise take
MIDDLE, WEIGHTED = "middle", "weighted"


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A frozen public speech encoder in front of the model, in place of the classic features or beside them; see
    ``common.features.encoded``.

    What the encoder is, is read from its files by whoever starts a run (``common.features.encoded.settle``), and each
    site compares: ``sha256``, ``settings_sha256``, ``layers``, ``width`` and ``frame_ms`` are not for users to set.

    Attributes:
        path: its folder in Hugging Face's layout, or an ONNX file, on this machine; empty for none.
        layer: whose frames are taken, a number from 1; ``middle``; or ``weighted``, all of them with a weight each that
            is trained.
        pool: ``statistics``, one row an utterance, each number's mean and deviation over time; or ``frames``.
        beside: the classic features beside it, pooled or brought to its frames likewise.
        components: a row is brought to so many principal components of public speech; 0 for none.
        sha256: of its weights' file; empty where there is no encoder.
        settings_sha256: of what is read of the files beside that.
        layers: how many it has.
        width: numbers a frame.
        frame_ms: from frame to frame.
    """

    path: str = ""
    layer: str = MIDDLE
    pool: str = "statistics"
    beside: bool = False
    components: int = 0
    sha256: str = ""
    settings_sha256: str = ""
    layers: int = 0
    width: int = 0
    frame_ms: float = 20.0

    def __post_init__(self) -> None:
        one_of("encoder.pool", self.pool, ("statistics", "frames"))
        if self.layer not in (MIDDLE, WEIGHTED) and not (self.layer.isdecimal() and int(self.layer) > 0):
            raise UsageError(f"encoder.layer is {self.layer!r}, expected a number from 1, {MIDDLE} or {WEIGHTED}")
        in_range("encoder.components", self.components, 0, 4096)
        in_range("encoder.layers", self.layers, 0, 1000)
        in_range("encoder.width", self.width, 0, 100_000)
        in_range("encoder.frame_ms", self.frame_ms, 1.0, 1000.0)
        if self.layers and self.layer.isdecimal() and int(self.layer) > self.layers:
            raise UsageError(f"encoder.layer is {self.layer}, the encoder has {self.layers}")
        if self.components and (self.pool == "frames" or self.layer == WEIGHTED):
            raise UsageError("encoder.components are of one layer's statistics; it has no other pool or layer")

    @property
    def on(self) -> bool:
        """Whether a run has one."""
        return bool(self.sha256 or self.path)

    @property
    def pooled(self) -> bool:
        """Whether there is one, and it gives a row an utterance."""
        return self.on and self.pool == "statistics"

    @property
    def mixed(self) -> int:
        """How many layers are weighed; 0 where one is chosen."""
        return self.layers if self.on and self.layer == WEIGHTED else 0


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What is computed from a signal, each descriptor switchable; see ``common.features.extractor`` for the columns'
    order.

    Attributes:
        sampling_rate: Hz; recordings at other rates are resampled.
        windows: the analysis windows in ms; with more than one, each descriptor comes once a window.
        hop: the step between frames in ms.
        mfcc: cepstral coefficients, 0 for none.
        log_mel: log-mel bands as features, 0 for none.
        deltas: 0 for none, 1 for Δ, 2 for Δ and ΔΔ, of MFCC, log-mel and log-energy.
        energy: log-energy.
        zero_crossing: zero-crossing rate.
        pitch: F0 (log Hz above the reference, 0 where unvoiced) and voicing.
        spectral: centroid, roll-off and flux.
        stack: how many frames are joined into one; the frame rate falls by the same factor.
        encoder: what stands in front instead, or beside; a section of its own among the settings.
    """

    sampling_rate: int = 16000
    windows: tuple[int, ...] = (25,)
    hop: int = 10
    mfcc: int = 40
    log_mel: int = 0
    deltas: int = 1
    energy: bool = True
    zero_crossing: bool = True
    pitch: bool = True
    spectral: bool = True
    stack: int = 3
    encoder: EncoderConfig = field(default_factory=EncoderConfig)

    def __post_init__(self) -> None:
        in_range("features.sampling_rate", self.sampling_rate, 4000, 96000)
        if not 1 <= len(self.windows) <= MOST_WINDOWS:
            found = f"has {len(self.windows)}" if self.windows else "is empty"
            raise UsageError(f"features.windows {found}, expected 1 to {MOST_WINDOWS} windows in ms, e.g. 25")
        for window in self.windows:
            in_range("features.windows", window, 5, 200)
        in_range("features.hop", self.hop, 1, 100)
        in_range("features.mfcc", self.mfcc, 0, 128)
        in_range("features.log_mel", self.log_mel, 0, 256)
        in_range("features.deltas", self.deltas, 0, 2)
        in_range("features.stack", self.stack, 1, 100)
        if not (self.mfcc or self.log_mel or self.energy or self.zero_crossing or self.pitch or self.spectral):
            raise UsageError("features: every descriptor is switched off, expected at least one")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model's kind and sizes; see ``common.config.kinds`` and ``common.models.model``.

    Attributes:
        kind: ``bilstm``, ``lstm``, ``transformer``, ``cnn1d``, ``crnn3d``, ``dscnn``, or ``linear``, which sees
            the ``statistics`` alone.
        projection: what a frame's features are projected to; in ``crnn3d`` what the convolutions make of it is.
        hidden: units of an LSTM in each direction, of the Transformer's layers of each frame, channels of a
            convolution over time; 0 for a linear model, whatever ``kind`` says.
        layers: of an LSTM 1 or 2; blocks of the Transformer, or convolutions over time, up to 8.
        kernel: frames that a convolution sees at a time, odd.
        heads: of self-attention, in ``transformer`` and ``crnn3d``.
        attention: units of the hidden layer of the attention that pools the frames.
        dropout: of the projected frames and of what they pool to.
        statistics: what the classifier sees of the features, beside what the kind reads or alone: ``none``, ``means``
            (each one's mean and deviation over time), ``contours`` (what they do together, whatever their level:
            ``common.models.contours``), or ``rows`` (the mean of its rows, about a centre:
            ``common.models.encoder_rows``, for the one row that an encoder's statistics are).
    """

    kind: str = "bilstm"
    projection: int = 128
    hidden: int = 128
    layers: int = 1
    kernel: int = 5
    heads: int = 4
    attention: int = 64
    dropout: float = 0.4
    statistics: str = "none"

    def __post_init__(self) -> None:
        one_of("model.kind", self.kind, tuple(KINDS))
        for name in ("projection", "attention"):
            in_range(f"model.{name}", getattr(self, name), 1, 100_000)
        in_range("model.hidden", self.hidden, 0, 100_000)
        one_of("model.statistics", self.statistics, ("none", "means", "contours", "rows"))
        if self.architecture.figures_alone and self.statistics == "none":
            which = f"model.kind is {self.kind}" if self.hidden else "model.hidden is 0"
            raise UsageError(f'{which}, which leaves nothing without model.statistics = "means", "contours" or "rows"')
        in_range("model.layers", self.layers, 1, self.architecture.deepest)
        in_range("model.kernel", self.kernel, 1, 31)
        if self.kernel % 2 == 0:
            raise UsageError(
                f"model.kernel is {self.kernel}, expected an odd number of frames, so that it has a middle"
            )
        self._heads()
        in_range("model.dropout", self.dropout, 0.0, 0.9)

    def _heads(self) -> None:
        in_range("model.heads", self.heads, 1, 64)
        widths = {TRANSFORMER: ("projection", self.projection), CRNN3D: ("2 hidden", 2 * self.hidden)}
        name, width = widths.get(self.architecture, ("", 0))
        if width % self.heads:
            raise UsageError(f"model.heads is {self.heads}, expected a divisor of {width}, the model's {name}")

    @property
    def architecture(self) -> Kind:
        """The kind of model that these settings make."""
        return kind_of(self.kind, self.hidden)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to the training recordings, and to nothing else; see ``common.audio.augment`` and
    ``common.data.crops``.

    Attributes:
        copies: altered versions of each recording beside the original; an epoch takes one of them at random.
        speed: largest change of speed, as a share (0.1 is ±10 %); 0 for none.
        gain: largest change of level in dB; 0 for none.
        noise: lowest and highest signal-to-noise ratio in dB, e.g. 5 and 20; empty for none.
        noise_kinds: what the noise is, drawn for each copy: ``pink``, ``babble`` of made-up voices, or ``room``, echoes
            and pink noise; all three by default.
        noise_share: the share of the copies that are noisy.
        noise_recordings: a folder of recordings of noise, one more kind; empty for none.
        noise_set: which set of made-up voices and rooms, from 0 to 999; scores in noise take the one behind these, so
            that no model has learnt from it.
        time_masks: SpecAugment masks over time, each at most ``time_width`` of the utterance.
        feature_masks: masks over features, each at most ``feature_width`` of them.
        crop: the share of an epoch's utterances that are cut to a random window of 0.5 s or more (of a matrix of
            features, which has no clock, a fifth of its rows or more); 0 for none, 1 for all.
    """

    copies: int = 2
    speed: float = 0.1
    gain: float = 0.0
    noise: tuple[float, ...] = ()
    noise_kinds: tuple[str, ...] = NOISE_KINDS
    noise_share: float = 1.0
    noise_recordings: str = ""
    noise_set: int = 0
    time_masks: int = 2
    time_width: float = 0.15
    feature_masks: int = 2
    feature_width: float = 0.15
    crop: float = 0.0

    def __post_init__(self) -> None:
        in_range("augment.copies", self.copies, 0, 100)
        in_range("augment.speed", self.speed, 0.0, 0.5)
        in_range("augment.gain", self.gain, 0.0, 40.0)
        if len(self.noise) not in (0, 2) or list(self.noise) != sorted(self.noise):
            raise UsageError(f"augment.noise is {list(self.noise)}, expected two numbers in dB, lowest first, or none")
        for ratio in self.noise:
            in_range("augment.noise", ratio, -50.0, 100.0)
        for kind in self.noise_kinds:
            one_of("augment.noise_kinds", kind, NOISE_KINDS)
        if self.noise and not (self.noise_kinds or self.noise_recordings):
            raise UsageError('augment.noise has no kind of noise; name one, e.g. augment.noise_kinds = "pink,babble"')
        if self.noise and not self.copies:
            raise UsageError("augment.noise is of altered copies, and augment.copies is 0; set it too, e.g. to 2")
        in_range("augment.noise_share", self.noise_share, 0.0, 1.0)
        in_range("augment.noise_set", self.noise_set, 0, SCORES)
        if self.noise_recordings and not self.noise:
            raise UsageError("augment.noise_recordings is set and augment.noise is not: say at which dB, e.g. 0 and 25")
        for name in ("time_masks", "feature_masks"):
            in_range(f"augment.{name}", getattr(self, name), 0, 20)
        for name in ("time_width", "feature_width", "crop"):
            in_range(f"augment.{name}", getattr(self, name), 0.0, 1.0)


CLASS_WEIGHTS = ("own", "pooled", "none")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a site trains; see ``common.learning.training``.

    Attributes:
        optimizer: ``adamw`` or ``sgd`` (with ``momentum``).
        schedule: ``cosine`` or ``constant``, over the federation's rounds.
        batch_size: utterances a step.
        local_epochs: passes over a site's recordings in a round.
        least_steps: a site with few recordings passes over them more often, until it has made so many steps in a round;
            0 for no floor. A private run's steps are fixed, whatever this says.
        loss: ``cross-entropy`` or ``focal`` (Lin et al. 2017, with ``focal_gamma``).
        class_weights: weigh each class by the inverse of its share: at the site, ``own``; at all sites together, whose
            counts are asked once, ``pooled``; or not at all, ``none``. ``true`` and ``false`` are read as own and none.
        clip_norm: largest norm of a step's gradient; 0 for no clipping.
        mixed_precision: 16-bit arithmetic where there is a GPU.
        teacher: a run over the same folds, whose models' answers for a recording are learnt beside its label
            (distillation: Hinton, Vinyals & Dean 2015); empty for none. In simulations alone.
        teacher_weight: the share of the loss that is the distance to them.
        teacher_temperature: by which both models' logits are divided there.
    """

    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    schedule: str = "cosine"
    batch_size: int = 8
    local_epochs: int = 2
    least_steps: int = 48
    loss: str = "cross-entropy"
    focal_gamma: float = 2.0
    label_smoothing: float = 0.1
    class_weights: str = "own"
    clip_norm: float = 5.0
    mixed_precision: bool = True
    teacher: str = ""
    teacher_weight: float = 0.5
    teacher_temperature: float = 2.0

    def __post_init__(self) -> None:
        one_of("training.optimizer", self.optimizer, ("adamw", "sgd"))
        one_of("training.schedule", self.schedule, ("cosine", "constant"))
        one_of("training.loss", self.loss, ("cross-entropy", "focal"))
        one_of("training.class_weights", self.class_weights, CLASS_WEIGHTS)
        positive("training.learning_rate", self.learning_rate)
        in_range("training.batch_size", self.batch_size, 1, 100_000)
        in_range("training.local_epochs", self.local_epochs, 1, 1000)
        in_range("training.least_steps", self.least_steps, 0, 100_000)
        in_range("training.label_smoothing", self.label_smoothing, 0.0, 0.9)
        in_range("training.momentum", self.momentum, 0.0, 0.999)
        in_range("training.teacher_weight", self.teacher_weight, 0.0, 1.0)
        in_range("training.teacher_temperature", self.teacher_temperature, 0.1, 100.0)
        for name in ("weight_decay", "focal_gamma", "clip_norm"):
            in_range(f"training.{name}", getattr(self, name), 0.0, 1e6)

    def steps(self, examples: int) -> int:
        """How many a round makes over so many recordings."""
        return self.passes(examples) * math.ceil(examples / self.batch_size)

    def passes(self, examples: int) -> int:
        """How often a round passes over so many recordings: ``local_epochs``, or as often as ``least_steps`` takes.

        Sites whose models are averaged after few steps hardly leave the model that they began with: what looks like a
        cost of their differences is too little training between two averages.
        """
        return max(self.local_epochs, math.ceil(self.least_steps / max(1, math.ceil(examples / self.batch_size))))


STRATEGIES = tuple(CATALOGUE)
HOLDS_ALL = tuple(name for name, strategy in CATALOGUE.items() if strategy.holds_all)


@dataclass(frozen=True, kw_only=True)
class FederationConfig:
    """How the sites train together; see ``server.rounds.strategy`` and ``server.rounds.loop``.

    Attributes:
        strategy: one of ``common.strategies.available``.
        initial: a model that round 1 begins with, its scaling too; empty for a new one.
        rounds: how often the model goes to the sites and back.
        refit: once validation speakers have chosen the round, train again from the start with their recordings too.
        fraction: the share of the sites that train in a round.
        min_sites: fewer usable updates than this end the run.
        round_timeout: seconds that a round waits for its sites.
        quorum: of a deployment: a round ends when this share of the sites asked has answered and ``grace`` has passed;
            1 for all, the default. Results then depend on who is fast, and a private site that came late has spent.
        grace: seconds that the others have from then on.
        screen_norm: an update is refused whose norm is more than so many times the median; 0 for no such limit.
        proximal_mu: FedProx's weight of the distance to the global model.
        server_learning_rate: of FedAvgM, FedAdam and FedYogi; 0 for 1, 0.1 and 0.1.
        server_momentum: of FedAvgM.
        weights: what a site's update counts for: its ``examples``, or all sites' the same, ``equal``.
        trim: the share that the trimmed mean cuts off at each end; 0 for a fifth, and at least one site.
        malicious: how many faulty sites Krum and Multi-Krum allow for.
        secure: add the updates up behind masks, so that the server sees their sum alone; ``common.secure``.
    """

    strategy: str = "fedavg"
    initial: str = ""
    rounds: int = 30
    refit: bool = True
    fraction: float = 1.0
    min_sites: int = 1
    round_timeout: float = 3600.0
    quorum: float = 1.0
    grace: float = 60.0
    screen_norm: float = 10.0
    proximal_mu: float = 0.01
    server_learning_rate: float = 0.0
    server_momentum: float = 0.9
    weights: str = "examples"
    trim: float = 0.0
    malicious: int = 1
    secure: bool = False

    def __post_init__(self) -> None:
        one_of("federation.strategy", self.strategy, STRATEGIES)
        one_of("federation.weights", self.weights, ("examples", "equal"))
        in_range("federation.rounds", self.rounds, 1, 100_000)
        in_range("federation.fraction", self.fraction, 1e-9, 1.0)
        in_range("federation.min_sites", self.min_sites, 1, 1_000_000)
        in_range("federation.round_timeout", self.round_timeout, 1e-3, 1e7)
        in_range("federation.quorum", self.quorum, 0.01, 1.0)
        in_range("federation.grace", self.grace, 0.0, 1e6)
        in_range("federation.screen_norm", self.screen_norm, 0.0, 1e9)
        in_range("federation.trim", self.trim, 0.0, 0.49)
        for name in ("proximal_mu", "server_learning_rate", "malicious"):
            in_range(f"federation.{name}", getattr(self, name), 0.0, 1e6)
        in_range("federation.server_momentum", self.server_momentum, 0.0, 0.999)

    def pass_round(self, number: int) -> tuple[str, int]:
        """What a round trains on, and which it is of its pass: those beyond the run's are its refit's.

        Returns:
            ``train`` in the pass that chooses the round, ``all`` in the refit; and the number, from 1 in each.
        """
        return ("all", number - self.rounds) if number > self.rounds else ("train", number)


SPEAKER_IDS = ("merge", "distinct")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which recordings, and how they are dealt; see ``common.corpora.catalogue`` and ``common.splits.folds``.

    Attributes:
        corpus: the corpus's name.
        root: its folder, or the manifest.
        classes: the emotions to tell apart; empty for the corpus's default.
        label_map: a TOML file that renames labels; empty for none.
        style: ``improvised`` or ``scripted``; empty for both.
        held_out: the held-out fold or folds; empty for the corpus's default.
        folds: an EmoBox fold file; empty for none.
        sites: ``session``, ``speaker``, ``column``, a number or ``dirichlet:N:ALPHA``.
        validation: the share of each site's speakers set aside, ``one`` of them, or ``none``.
        normalise: ``running`` (by the training sites' pooled sums and by what was heard of the speaker before),
            ``speaker``, ``utterance``, ``global`` (by the pooled sums alone), or ``public``.
        public: a model of a run with ``global`` on public data, whose scaling ``public`` uses.
        strict: end on the first problem with a recording.
        speaker_ids: whether ids that are spelled alike (``s4``, ``S04``) are one person, ``merge``, or several,
            ``distinct``; empty to refuse a run in which there are any.
        outside_root: whether a list may name recordings outside its folder; at a site none outside its data is read.
        score_noise: score the held-out recordings that are here in noise too, as a stranger's first ones.
    """

    corpus: str = "synthetic"
    root: str = ""
    classes: tuple[str, ...] = ()
    label_map: str = ""
    style: str = ""
    held_out: str = ""
    folds: str = ""
    sites: str = "4"
    validation: str = "one"
    normalise: str = "running"
    public: str = ""
    strict: bool = False
    speaker_ids: str = ""
    outside_root: bool = False
    score_noise: bool = False

    def __post_init__(self) -> None:
        one_of("data.normalise", self.normalise, ("running", "speaker", "utterance", "global", "public"))
        one_of("data.speaker_ids", self.speaker_ids, ("", *SPEAKER_IDS))
