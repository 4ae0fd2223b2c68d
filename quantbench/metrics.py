"""Every metric: its name, unit, direction, and a line of words. What else knows of metrics takes it from here.

A class of a user's own adds to it: ``metrics = (Metric("my_error", "what it says", better=LESS),)`` beside its settings.
A family of numbered columns is one entry of ``NUMBERED``; ``known`` finds the metric of any name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from quantbench.errors import ConfigError

LESS: Literal["less"] = "less"
MORE: Literal["more"] = "more"


@dataclass(frozen=True)
class Metric:
    """A column of results.csv that says what was measured.

    Attributes:
        words: one line for people.
        unit: ``dB``, ``bits``, ...; empty for a number without one.
        better: ``less`` or ``more``; empty where neither is better by itself.
        whole: whether it is a whole number.
        curve: whether it is drawn over the steps of a training, too.
        no_goal: why nothing is ranked by it, although it has a better direction.
        cost: whether it is what a trial took, and differs when the same trial runs again.
    """

    name: str
    words: str
    unit: str = ""
    better: Literal["less", "more", ""] = ""
    whole: bool = False
    curve: bool = False
    no_goal: str = ""
    cost: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigError(f"metric {self.name!r}: a metric's name is a word of letters, digits and underscores")
        if self.better not in (LESS, MORE, ""):
            raise ConfigError(f"metric {self.name}: better={self.better!r}: must be 'less', 'more' or empty")

    @property
    def sign(self) -> int:
        """What makes less of it better: 1 or -1; 0 where neither direction is."""
        return {LESS: 1, MORE: -1, "": 0}[self.better]

    @property
    def titled(self) -> str:
        """The name with the direction that is better, where there is one."""
        return f"{self.name} ({'lower' if self.better == LESS else 'higher'} is better)" if self.better else self.name


def table(*metrics: Metric) -> dict[str, Metric]:
    """Metrics by name."""
    return {one.name: one for one in metrics}


METRICS = table(
    Metric("mse", "mean square error of the decoder's output, with the hard quantizer", better=LESS, curve=True),
    Metric("mse_error", "standard error of mse, where the evaluation frames are a sample of the source"),
    Metric("nmse_db", "mse over the power of the target", "dB", LESS),
    Metric("source_bits", "bits of a frame that perfect reconstruction needs", "bits"),
    Metric("rate_bits", "nominal rate: bits of a frame with codes of fixed length", "bits"),
    Metric("rate_kbps", "nominal rate of a waveform codec", "kbit/s"),
    Metric("entropy_bits", "sum of the entropies of the code's slots", "bits"),
    Metric("estimated_bits", "bits of a frame under the quantizer's learned prior", "bits"),
    Metric("coded_bits", "bits of a frame that a range coder took", "bits"),
    Metric(
        "spent_bits", "bits of a frame of an entropy coder without context, slot by slot; the limit is compared at them", "bits"
    ),
    Metric("joint_entropy_bits", "entropy of whole codes, bits of a frame; given the dither where there is one", "bits"),
    Metric("joint_entropy_error", "how far joint_entropy_bits may be from the truth", "bits"),
    Metric(
        "context_bits",
        "bits of a frame given the one before, slot by slot: entropies of pairs less those of single codes; only where frames "
        "follow each other in time",
        "bits",
    ),
    Metric("context_bits_error", "how far context_bits may be from the truth", "bits"),
    Metric(
        "ngram_bits",
        "bits of a frame that a model took which learns as it goes what follows the last two codes of a slot: no less than the "
        "entropy rate of the codes, on average",
        "bits",
    ),
    Metric("perplexity", "2 to the entropy of a slot, mean over slots", better=MORE),
    Metric(
        "usage",
        "share of the codes that occur, frames_per_code at most; in curves, of the codes of 1024 frames",
        better=MORE,
        curve=True,
    ),
    Metric("joint_usage", "share of whole codes, all slots together, that occur; where there are as many latents", better=MORE),
    Metric("frames_per_code", "evaluated latents for each code of the largest slot; with fewer than 4, usage looks too small"),
    Metric("dead_codes", "codes that never occur", better=LESS, whole=True),
    Metric("quantization_error", "mean square distance of a latent to its code", better=LESS, curve=True),
    Metric("mismatch_db", "distortion with the hard quantizer over that with what the decoder was trained on", "dB", LESS),
    Metric(
        "stability",
        "share of the codes that stay the same under Gaussian noise on the input, 20 dB below its power",
        better=MORE,
        no_goal="a collapsed codec has the most stable codes: rank by mse or nmse_db",
    ),
    Metric(
        "flip_damage",
        "what mse rises by when each frame has one wrong index, any other one in any slot",
        better=LESS,
        no_goal="a collapsed codec is damaged least: rank by mse or nmse_db",
    ),
    Metric("mel_distance_db", "log-mel distance of the decoded waveform", "dB", LESS, curve=True),
    Metric("si_sdr_db", "scale-invariant signal-to-distortion ratio", "dB", MORE, curve=True),
    Metric("pesq", "PESQ, wide band, 1 to 4.6", better=MORE),
    Metric("stoi", "short-time objective intelligibility, 0 to 1", better=MORE),
    Metric("visqol", "ViSQOL, 1 to 5", better=MORE),
    Metric("clips", "clips that were judged", whole=True),
    Metric("clips_skipped", "clips that a measure could not judge", whole=True),
    Metric("encoder_std_start", "standard deviation of the encoder's output before training"),
    Metric("encoder_std", "standard deviation of the encoder's output", curve=True),
    Metric("encoder_growth", "encoder_std over encoder_std_start", "times"),
    Metric("gradient_norm", "norm of the gradient at the last step", curve=True),
    Metric("diverged_step", "step at which the training diverged", whole=True),
    Metric("limit_mse", "least mse of any codec at spent_bits that codes frame by frame"),
    Metric("limit_process_mse", "least mse at spent_bits of a codec with memory, where frames are blocks of a process"),
    Metric(
        "lower_mse", "where no limit is known, a bound from samples: no codec of spent_bits that codes frame by frame is below"
    ),
    Metric("upper_mse", "where no limit is known, a bound from samples: codes of many frames together reach it at spent_bits"),
    Metric(
        "gap_db",
        "mse over limit_mse",
        "dB",
        LESS,
        no_goal="it is small for a collapsed codec, which spends few bits: rank by excess_bits or nmse_db",
    ),
    Metric(
        "excess_bits", "rate less the least rate that the distortion reached needs, by the limit of limit_note", "bits", LESS
    ),
    Metric("reference_mse", "mse of a known quantizer at the nominal rate"),
    Metric("steps", "steps that were trained", whole=True),
    Metric("seconds", "time of a trial: its share of its stack's", "s", LESS, cost=True),
    Metric("cpu_seconds", "processor time of a trial", "s", LESS, cost=True),
    Metric("step_seconds", "time of a step of a trial", "s", LESS, cost=True),
    Metric("peak_memory_mb", "most memory of the process or the GPU", "MiB", LESS, cost=True),
    Metric("stack_size", "trials that were trained together", whole=True, cost=True),
)
"""Those of this project, in the order of the columns. Those of cost, from ``seconds`` on, come last in a table."""

NUMBERED = table(
    Metric("mse_N", "mse of the first N stages of a residual code, decoded alone; of all of them it is mse", better=LESS),
    Metric("usage_N", "share of the codes that occur, of stage or group N", better=MORE),
)
"""Families of columns: ``mse_N`` is ``mse_1``, ``mse_2`` and so on. They follow those of the table that are no costs."""

OF_COMPONENTS = frozenset(
    ["estimated_bits", "coded_bits", "mel_distance_db", "si_sdr_db", "pesq", "stoi", "visqol", "clips", "clips_skipped"]
)
"""Those that a component may measure; all others the training measures itself."""

OTHER_COLUMNS = {
    "trial": "identity of the trial: a hash of all settings and data that its result follows from, and its seed",
    "experiment": "name of the experiment",
    "status": "completed, diverged, failed (an error, or a worker that died) or skipped (a pair that does not fit)",
    "error": "why a trial diverged, failed or was skipped",
    "seed": "seed of all random numbers",
    "simulator": "the choice of the source",
    "codec": "the choice of the codec",
    "quantizer": "the choice of the quantizer",
    "gradient": "the choice of the gradient-passing strategy",
    "loss": "the choice of the reconstruction loss",
    "track": "of `quantbench tune`: default (the authors' settings) or tuned",
    "phase": "of `quantbench tune`: search (settings on validation seeds), score (choices on test seeds) or sensitivity",
    "study": "of `quantbench tune`: the number of the study that a setting belongs to, or was chosen by",
    "setting": "of `quantbench tune`: the number of the searched setting",
    "moved": "of `quantbench tune`: the one setting that a trial of the sensitivity has elsewhere than the best one",
    "limit_note": "which limit limit_mse is, or why there is none, and what lower_mse and upper_mse are of",
    "reference_note": "which quantizer reference_mse is of, or why there is none",
    "device": "what the trial was trained on",
    "steps_by": "what took its steps: eager (operations one by one), graph (CUDA graphs of these) or fused (one kernel)",
}
"""The columns of results.csv that are no metrics, beside those of settings that vary, which have a dot in their name."""


def known(name: str) -> Metric | None:
    """The project's metric of this name, those of numbered families among them; None where there is none."""
    if name in METRICS:
        return METRICS[name]
    found = re.fullmatch(r"(.+_)([1-9][0-9]{0,2})", name, re.ASCII)
    family = NUMBERED.get(f"{found[1]}N") if found else None
    return replace(family, name=name, words=re.sub(r"\bN\b", found[2], family.words)) if found and family else None


def numbered(names: Iterable[str]) -> dict[str, Metric]:
    """Those names that are of numbered families, in the order of the families and of the numbers."""
    order = list(NUMBERED)
    found = {name: one for name in names if name not in METRICS and (one := known(name))}

    def place(name: str) -> tuple[int, int]:
        begin, _, number = name.rpartition("_")
        return order.index(f"{begin}_N"), int(number)

    return {name: found[name] for name in sorted(found, key=place)}


def taken(name: str) -> str | None:
    """Why a component cannot return a metric of this name, or None."""
    if not name.isidentifier():
        return "a metric's name is a word of letters, digits and underscores"
    if name in OTHER_COLUMNS or (known(name) and name not in OF_COMPONENTS):
        return "that is a column of results.csv already, with another meaning; choose another name"
    return None


def declared(classes: Iterable[type]) -> dict[str, Metric]:
    """The metrics that classes add.

    Raises:
        ConfigError: one is declared twice, in different words, or has the name of another column.
    """
    found: dict[str, Metric] = {}
    for cls in classes:
        for one in getattr(cls, "metrics", ()):
            if not isinstance(one, Metric):
                raise ConfigError(f"{cls.__name__}.metrics: {one!r} is no Metric")
            before = known(one.name) or found.get(one.name)
            if before is not None and before != one:
                raise ConfigError(f"{cls.__name__}.metrics: {one.name} is a metric already, declared otherwise")
            if reason := taken(one.name):
                raise ConfigError(f"{cls.__name__}.metrics: {one.name}: {reason}")
            found[one.name] = one
    return {name: one for name, one in found.items() if not known(name)}
