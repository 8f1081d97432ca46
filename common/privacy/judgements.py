"""What a private run may set: each setting of the configuration, what it may be, and why that tells of nobody.

A setting is public, and is fixed before any recording is looked at. What is judged is what it makes a run do:

- where an ``utterance`` or a ``speaker`` is hidden, nothing leaves a site but sums to which each unit adds one clipped
  part, and noise. A setting tells nothing of another unit where it works on each unit alone, before the clipping, or on
  what is noised already;
- where a ``site`` is hidden, a trusted server clips each site's update as a whole. What a site does among its own
  recordings is that site's own part; only what joins sites before the noise could tell of another.

``Judgement(why)`` allows anything that the setting can be; ``only(…)`` these values alone; ``units`` what one unit
allows, where that is less. What has no row here, or is set to something else, is refused by whatever starts a training
(``common.privacy.recipe.refuse_leaks``). Some sentences say what a setting tells all the same: these are the limits of
the guarantee.
"""

from __future__ import annotations

from common.privacy.allowances import Judgement, only

# Sentences that hold for several settings.
ALONE = "It is computed of each recording alone, whatever the others are."
OWN_LOSS = "It is part of a recording's own loss, before the gradient is clipped."
SIZE = "It is a size of the model, the same for any recordings, and no layer mixes the recordings of a batch."
AFTER = "It works on what is noised already, or, where sites are hidden, within one site; that costs no privacy."
STEP = "It decides how many noisy steps there are, or how large their samples are; all are counted beforehand."
DEAL = "It deals people by name and by what a corpus says of them, not by what they said; who takes part is public."
TEST = f"{DEAL[:-1]}; the held-out are the coordinator's, train nothing, and are scored without noise or protection."

# What refuses a value, where it is not the common line.
NORMALISE = (
    "--normalise {value} would tell of other {unit}s' recordings in a run that is private for each {unit}; "
    "use {allowed}"
)
VALIDATION = (
    "--validation would publish scores of private recordings: a private run sets no speaker aside; leave it out"
)
WEIGHED = "--encoder-layer is weighted: a private run's gradients are not known to be exact there; choose one layer"
POOLED = "--encoder-pool is {value}: a private run takes statistics, whose rows public speech scales; leave it out"
BESIDE = (
    "--encoder-beside: classic features are not scaled by the encoder's public speech; leave it out of a private run"
)
CLASS_WEIGHTS = "--class-weights {value} tells how often classes occur: a private run has none; leave it out"
POOLED_COUNTS = (
    "--class-weights pooled: each site would tell how often every class occurs there, and no noise covers that; leave "
    "it out of a private run"
)
CROP = (
    "augment.crop {value} would do nothing in a run that is private for each {unit}, whose noisy steps take whole "
    "recordings; leave it out"
)
TEACHER = (
    "--teacher {value} has learnt from other {unit}s' recordings, of which its answers would tell in a run that is "
    "private for each {unit}; leave it out"
)
NOISE = (
    "--noise-recordings would put whoever is heard in them into the copies of every {unit}; leave it out: "
    "--augment-noise has made-up noise"
)
FRACTION = "--fraction: with --privacy-unit site all sites take part in every round; leave it out"
STRATEGY = "--strategy {value} needs every update as it is; use fedavg"
KIND = "--canary-kind recordings would put speakers into several units; use --privacy-unit utterance"
TEXT = "text.buckets {value}: a private run hears no words, of which it makes no gradient by recording; leave it out"
SHARED = (
    "--privacy-noise {value} is for the units utterance and speaker; with --privacy-unit site the server adds the noise"
)
CANARIES = "--canaries are put in at the sites; with --privacy-unit site the server adds the noise"

JUDGEMENTS: dict[str, Judgement] = {
    "seed": Judgement("It draws the first model and who is dealt where; noise and samples come from a secret stream."),
    # Which recordings there are, how they are dealt, and how they are scaled.
    "data.corpus": Judgement("It names a kind of folder, whose recordings are read one by one."),
    "data.root": Judgement("It says where a corpus lies; a deployed site has its own, and tells nobody."),
    "data.classes": Judgement(
        "A recording is taken or left by its own label, and left empty a corpus's labels are public too; a deployed "
        "site fixes the classes, as two runs' counts would tell a label's."
    ),
    "data.label_map": Judgement("A table renames each label, whatever the others are; a deployed site has its own."),
    "data.style": Judgement("A recording is taken or left by its own style; a deployed site fixes it, as the classes."),
    "data.held_out": Judgement(TEST),
    "data.folds": Judgement(TEST),
    "data.sites": Judgement(DEAL),
    "data.normalise": Judgement(
        "Features are scaled by what one unit alone says, or by data of nobody here; global is by everybody's.",
        only("utterance", "speaker", "public", line=NORMALISE),
        units={"utterance": only("utterance", "public", line=NORMALISE)},
    ),
    "data.public": Judgement("Whoever names the model vouches that its data were public; nothing can check that."),
    "data.validation": Judgement(
        "Nobody is set aside, so that no score of a private recording chooses the model or leaves a site.",
        only("none", line=VALIDATION),
    ),
    "data.strict": Judgement(
        "It is a check before a simulation; no deployed site heeds it where it hides units, for that the run ended "
        "there would tell that one is unusable."
    ),
    "data.speaker_ids": Judgement(
        "Ids spelled alike are one unit or several by their spelling alone, whatever their recordings hold; a deployed "
        "site says it in its kit, and the server's word counts for nothing."
    ),
    "data.outside_root": Judgement(
        "It lets a list name recordings that lie elsewhere, on the machine of who starts a simulation; a site of its "
        "own reads none outside its folder of recordings."
    ),
    "data.score_noise": Judgement(TEST),
    # What is computed from a recording.
    "features.sampling_rate": Judgement(ALONE),
    "features.windows": Judgement(ALONE),
    "features.hop": Judgement(ALONE),
    "features.mfcc": Judgement(ALONE),
    "features.log_mel": Judgement(ALONE),
    "features.deltas": Judgement(ALONE),
    "features.energy": Judgement(ALONE),
    "features.zero_crossing": Judgement(ALONE),
    "features.pitch": Judgement(ALONE),
    "features.spectral": Judgement(ALONE),
    "features.stack": Judgement(ALONE),
    # A public encoder, the same for all; its rows are of one recording each.
    "encoder.path": Judgement(
        "Whoever names the encoder vouches that it was trained without the sites' people; nothing can check that."
    ),
    "encoder.layer": Judgement(
        ALONE,
        only("middle", *map(str, range(1, 1001)), line=WEIGHED),
        beside="encoder.sha256",
    ),
    "encoder.pool": Judgement(ALONE, only("statistics", line=POOLED), beside="encoder.sha256"),
    "encoder.beside": Judgement(ALONE, only(False, line=BESIDE), beside="encoder.sha256"),
    "encoder.components": Judgement("The directions are those of public speech, found before anybody trains."),
    "encoder.sha256": Judgement("It is the hash of a public file."),
    "encoder.settings_sha256": Judgement("It is the hash of a public file's settings."),
    "encoder.layers": Judgement("It is read from a public file."),
    "encoder.width": Judgement("It is read from a public file."),
    "encoder.frame_ms": Judgement("It is read from a public file."),
    # Altered copies are their recording's own: its gradient is that of one of them, or their mean.
    "augment.copies": Judgement(ALONE),
    "augment.speed": Judgement(ALONE),
    "augment.gain": Judgement(ALONE),
    "augment.noise": Judgement(ALONE),
    "augment.noise_kinds": Judgement(
        "The noise and the voices in it are made up, of nobody, and drawn from a recording's own bytes."
    ),
    "augment.noise_share": Judgement(ALONE),
    "augment.noise_recordings": Judgement(
        "None: whoever is heard in recordings of noise would be in other units' copies.", only("", line=NOISE)
    ),
    "augment.noise_set": Judgement("It draws made-up voices and rooms, which are nobody's."),
    "augment.time_masks": Judgement(ALONE),
    "augment.time_width": Judgement(ALONE),
    "augment.feature_masks": Judgement(ALONE),
    "augment.feature_width": Judgement(ALONE),
    "augment.crop": Judgement(
        "Where sites are hidden each recording is cut by itself; the noisy steps of the other units cut none.",
        units=dict.fromkeys(("utterance", "speaker"), only(0.0, line=CROP)),
    ),
    # The model.
    "model.kind": Judgement(
        "Each is a model whose layers mix no recordings of a batch, with a gradient by sample of each.",
        only("bilstm", "lstm", "transformer", "cnn1d", "crnn3d", "dscnn", "linear"),
        flag="--model-kind",
    ),
    "model.projection": Judgement(SIZE),
    "model.hidden": Judgement(SIZE),
    "model.layers": Judgement(SIZE),
    "model.kernel": Judgement(SIZE),
    "model.heads": Judgement(SIZE),
    "model.attention": Judgement(SIZE),
    "model.dropout": Judgement("What is dropped is drawn at random for each recording, whatever is in it."),
    "model.statistics": Judgement(
        "They are computed of each recording alone, and a centre of them is found in noised, counted steps.",
        only("none", "means", "contours", "rows"),
    ),
    # What is said beside it.
    "text.buckets": Judgement(
        "None: a noisy step makes no gradient by recording of the words, so that private runs hear sounds alone.",
        only(0, line=TEXT),
    ),
    "text.words": Judgement("It does nothing without words, which no private run hears."),
    "text.characters": Judgement("It does nothing without words, which no private run hears."),
    "text.weight": Judgement("It does nothing without words, which no private run hears."),
    # A site's steps.
    "training.optimizer": Judgement(AFTER, only("adamw", "sgd")),
    "training.learning_rate": Judgement(AFTER),
    "training.weight_decay": Judgement(AFTER),
    "training.momentum": Judgement(AFTER),
    "training.schedule": Judgement(AFTER, only("cosine", "constant")),
    "training.batch_size": Judgement(STEP),
    "training.local_epochs": Judgement(STEP),
    "training.least_steps": Judgement("It does nothing in a private run, whose steps are fixed beforehand."),
    "training.loss": Judgement(OWN_LOSS, only("cross-entropy", "focal")),
    "training.focal_gamma": Judgement(OWN_LOSS),
    "training.label_smoothing": Judgement(OWN_LOSS),
    "training.class_weights": Judgement(
        "Weights would tell how often each class occurs at a site, which only a hidden site's own update may; no site "
        "is asked for its counts.",
        only("own", "none", line=POOLED_COUNTS),
        units=dict.fromkeys(("utterance", "speaker"), only("none", line=CLASS_WEIGHTS)),
    ),
    "training.clip_norm": Judgement("No noisy step uses it; where sites are hidden, it works within one site."),
    "training.mixed_precision": Judgement("No noisy step uses it; where sites are hidden, it works within one site."),
    "training.teacher": Judgement(
        "A teacher has learnt from other recordings, of which its answers for a unit's own would tell without noise.",
        only("", line=TEACHER),
    ),
    "training.teacher_weight": Judgement("It does nothing without a teacher, which no private run has."),
    "training.teacher_temperature": Judgement("It does nothing without a teacher, which no private run has."),
    # How the sites train together.
    "federation.fraction": Judgement(
        "The seed draws who takes part in a round; where sites are hidden, the noise counts on all of them.",
        units={"site": only(1.0, line=FRACTION)},
    ),
    "federation.strategy": Judgement(
        "Each works on noised updates, or on the noised mean, and keeps nothing at a site from round to round.",
        only("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedmedian", "fedtrimmedavg", "krum", "multikrum"),
        units={"site": only("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", line=STRATEGY)},
        flag="--strategy",
    ),
    "federation.initial": Judgement(
        "It is where round 1 begins, public as whoever names it vouches: result, report and card say that the run's ε "
        "is of its own steps, and that no ε is of the model's unless these stand in the same ledgers."
    ),
    "federation.rounds": Judgement(STEP),
    "federation.refit": Judgement("It does nothing in a private run, where no validation speaker chooses a round."),
    "federation.min_sites": Judgement("It counts answers; that a site takes part, or fails to answer, is not hidden."),
    "federation.round_timeout": Judgement("It bounds how long a site may take, which whoever is sent its answer sees."),
    "federation.quorum": Judgement(
        "It counts answers, and whoever is sent them sees who was late; a late site's steps are in its ledger all the "
        "same, and its answer in no model."
    ),
    "federation.grace": Judgement(
        "It bounds how long a late site is waited for, which whoever is sent its answer sees."
    ),
    "federation.screen_norm": Judgement(
        "It compares the lengths of noised updates; where sites are hidden, nothing is compared."
    ),
    "federation.proximal_mu": Judgement("It pulls towards the round's global model, which is public."),
    "federation.server_learning_rate": Judgement(AFTER),
    "federation.server_momentum": Judgement(AFTER),
    "federation.weights": Judgement(
        "Updates are noised before they are weighed, by the counts that each site told at the start or by none.",
        only("examples", "equal"),
        flag="--weights",
    ),
    "federation.trim": Judgement(AFTER),
    "federation.malicious": Judgement(AFTER),
    "federation.secure": Judgement("Masks hide; nothing more is told."),
    # The guarantee itself.
    "privacy.unit": Judgement(
        "It says who is hidden; each of these has a mechanism of its own.",
        only("utterance", "speaker", "site"),
        flag="--privacy-unit",
    ),
    "privacy.epsilon": Judgement("It is what the run may tell of a unit; the noise is made for it."),
    "privacy.delta": Judgement("It is the chance that more is told; above 1/(10 n) a run on n units is refused."),
    "privacy.max_grad_norm": Judgement("Each unit's part is clipped to it, and the noise is measured by it."),
    "privacy.noise_multiplier": Judgement("It is the noise itself; what it comes to is accounted."),
    "privacy.sample_rate": Judgement(STEP),
    "privacy.noise": Judgement(
        "At each site it is whole by itself; shared it is whole in masked sums, of which nobody sees a part, while so "
        "many sites are honest as privacy.honest says.",
        only("site", "shared"),
        units={"site": only("site", line=SHARED)},
        flag="--privacy-noise",
    ),
    "privacy.honest": Judgement(
        "It divides the noise among the sites: whoever takes more of these for honest than are gets less noise; each "
        "site's policy bounds it.",
    ),
    "privacy.multiplicity": Judgement("It is how many copies of a recording the recording's own gradient is of."),
    "privacy.average": Judgement(AFTER),
    "privacy.max_physical_batch": Judgement("It is how much is in memory at a time; the sums are the same."),
    "privacy.max_seconds": Judgement("It cuts each recording by itself, whatever the others are."),
    "privacy.insecure_seed": Judgement(
        "It makes the noise replayable and hides nobody: report and card then say that the run is not private."
    ),
    "privacy.budget": Judgement("It bounds what all runs tell; a smaller one only ends a run earlier."),
    "privacy.canary_kind": Judgement(
        "A canary is a unit of its own: made up, or a recording taken from the others and put under a wrong label.",
        only("gradients", "recordings"),
        units={"speaker": only("gradients", line=KIND)},
        flag="--canary-kind",
        beside="privacy.canaries",
    ),
    "privacy.canaries": Judgement(
        "They are units beside the real ones, for audits of simulations; a site's policy allows none by default.",
        units={"site": only(0, line=CANARIES)},
    ),
}
