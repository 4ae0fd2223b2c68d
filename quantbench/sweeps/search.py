"""The design of a search by the protocol: which settings of every method are tried where, and with which seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from quantbench.components import Component, at_least, component
from quantbench.config import canonical, instance, setting
from quantbench.errors import ConfigError
from quantbench.metrics import METRICS, known
from quantbench.schema import Settings
from quantbench.suggest import no_such_metric
from quantbench.sweeps.priors import Prior
from quantbench.sweeps.spaces import method_space
from quantbench.sweeps.stored import MOST_TRIALS
from quantbench.sweeps.sweep import Combination, Sweep

DEFAULT, TUNED = "default", "tuned"
SEARCH, SCORE, SENSITIVITY = "search", "score", "sensitivity"
FIRST_VALIDATION_SEED = 1_000_000
"""Seeds from here on are for validation, those below for the test."""
SEED = "seed"
EVALUATE_ON = "simulator.evaluate_on"
"""The setting of a source whose evaluation frames are the same for all seeds."""


@component
class SearchSettings(Component):
    """Settings of `quantbench tune`.

    Attributes:
        budget: settings that are tried of every method in every task.
        studies: in how many studies they are cut; each makes a choice of its own.
        validation: validation seeds that each setting is trained with.
        sensitivity: test seeds with which single settings are moved to the quartiles of their priors; 0 for none.
        score: the metric by which choices are made.
    """

    budget: int = 25
    studies: int = 5
    validation: int = 1
    sensitivity: int = 1
    score: str = "nmse_db"

    def check(self) -> None:
        for name in ("budget", "studies", "validation"):
            at_least(name, getattr(self, name), 1)
        at_least("sensitivity", self.sensitivity, 0)
        if self.budget % self.studies:
            raise ConfigError(f"budget={self.budget}: must be a multiple of studies={self.studies}, which are of equal size")
        metric = known(self.score)
        if metric is None or not metric.sign:
            raise no_such_metric("score=", self.score, [name for name, one in METRICS.items() if one.sign])


@dataclass(frozen=True)
class Candidate:
    """A method in a task.

    Attributes:
        combination: number of its choices in the sweep.
        base: what the experiment varies, by dotted name.
        default: settings of the default track.
        settings: those that are tried, in order.
        quartiles: of each searched setting's prior.
        halves: whether validation and test are halves of the same recordings, which no seed tells apart.
    """

    combination: int
    base: Settings
    default: Settings
    settings: list[Settings]
    quartiles: dict[str, list[Any]]
    halves: bool = False

    def judged_on(self, part: str) -> Settings:
        """What makes a trial's evaluation that of the validation or of the test, beside its seed."""
        return {EVALUATE_ON: part} if self.halves else {}


@dataclass(frozen=True)
class Label:
    """What a trial is for; numbers from 1, 0 for none."""

    candidate: int
    track: str
    phase: str
    study: int = 0
    setting: int = 0
    moved: str = ""


@dataclass(frozen=True)
class Wanted:
    """A trial to train: the settings of a candidate's combination, and what it is for."""

    combination: int
    values: Settings
    label: Label


@dataclass(frozen=True)
class Design:
    """All of a search that is decided before it begins; plain data.

    Attributes:
        seeds: of the test.
        tuned: dotted names of all settings that any trial has elsewhere than the experiment.
    """

    settings: Settings
    seeds: list[int]
    candidates: list[Candidate]
    tuned: list[str] = field(default_factory=list)

    @staticmethod
    def of(content: Mapping[str, Any]) -> Design:
        """From plain data."""
        return Design(**dict(content) | {"candidates": [Candidate(**one) for one in content["candidates"]]})


def design(base: Sweep, asked: SearchSettings, config_dir: Path | None = None) -> Design:
    """The design of a search over the methods and tasks of a sweep; its seeds are those of the test.

    Raises:
        ConfigError: a space is wrong, a seed is one of validation, or a source has one evaluation set for all seeds.
    """
    seeds = _test_seeds(base)
    varied = [name for name in base.axes if name != SEED]
    candidates: dict[str, Candidate] = {}
    if asked.budget * asked.validation > MOST_TRIALS:
        raise ConfigError(
            f"budget={asked.budget}, validation={asked.validation}: more than {MOST_TRIALS} trials of each method"
        )
    points = (places for number in range(len(base.combinations)) for places in base.points_of(number))
    for (combination, config), places in zip(base.configs(), points, strict=True):
        own = {name: base.axes[name][i] for name, i in zip(base.axes, places, strict=True) if name != SEED and i >= 0}
        number = next(i for i, one in enumerate(base.combinations) if one is combination)
        if (key := canonical([number, own])) not in candidates:
            candidates[key] = _candidate(number, own, combination.choices, config, asked.budget, varied, config_dir)
        least = len(candidates) * (asked.budget * asked.validation + len(seeds) * (1 + asked.studies))
        if least > MOST_TRIALS:
            raise ConfigError(f"a search of these methods and tasks has more than {MOST_TRIALS} trials; ask for fewer")
    found = list(candidates.values())
    names = [name for one in found for values in (one.default, *one.settings, one.judged_on("")) for name in values]
    return Design(vars(asked).copy(), seeds, found, list(dict.fromkeys(names)))


def _candidate(
    number: int,
    own: Settings,
    chosen: Mapping[str, str],
    config: Mapping[str, Any],
    budget: int,
    varied: Sequence[str],
    config_dir: Path | None,
) -> Candidate:
    space = method_space(chosen, config, varied, config_dir)
    fixed = space.recommended | space.held
    drawn = sobol(f"{chosen['quantizer']}/{chosen['gradient']}", space.priors, budget)
    quartiles = {name: prior.quartiles for name, prior in space.priors.items()}
    simulator = config["simulator"]
    if instance("simulator", simulator).waveform_rate is not None:
        raise ConfigError(
            f"simulator={chosen['simulator']}: has one set of held-out clips, on which choices and scores would be"
        )
    halves = EVALUATE_ON.partition(".")[2] in simulator
    return Candidate(number, own, space.recommended, [fixed | one for one in drawn], quartiles, halves)


def sobol(name: str, priors: Mapping[str, Prior], count: int) -> list[Settings]:
    """The first settings of a scrambled Sobol sequence, mapped through priors; the same for a name whatever else is."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    engine = torch.quasirandom.SobolEngine(len(priors), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points = engine.draw(count, dtype=torch.float64).tolist()
    return [{key: one.at(share) for (key, one), share in zip(priors.items(), point, strict=True)} for point in points]


def _test_seeds(base: Sweep) -> list[int]:
    seeds = list(dict.fromkeys(base.axes[SEED])) if SEED in base.axes else [base.combinations[0].config.get(SEED, 0)]
    if bad := [seed for seed in seeds if type(seed) is not int or not 0 <= seed < FIRST_VALIDATION_SEED]:
        raise ConfigError(f"seed={bad[0]}: must be a whole number below {FIRST_VALIDATION_SEED}, where validation seeds begin")
    return seeds


def search_trials(found: Design) -> Iterator[Wanted]:
    """Every setting of every candidate with the validation seeds of its study."""
    each, studies = found.settings["validation"], found.settings["studies"]
    size = found.settings["budget"] // studies
    for number, one in enumerate(found.candidates):
        for place, values in enumerate(one.settings):
            study = place // size
            label = Label(number, TUNED, SEARCH, study + 1, place + 1)
            for i in range(each):
                yield Wanted(
                    one.combination,
                    one.base | one.judged_on("validation") | values | {SEED: FIRST_VALIDATION_SEED + study * each + i},
                    label,
                )


def score_trials(found: Design, chosen: Mapping[int, Mapping[int, int]], best: Mapping[int, int]) -> Iterator[Wanted]:
    """The default, the choice of each study, and the best setting with one setting moved, each with test seeds.

    Args:
        chosen: of each candidate that was tried, the place of each study's choice among the settings, by the study's number.
        best: the place of the best of all.
    """
    for number, studies in chosen.items():
        one = found.candidates[number]
        parts = [(one.default, Label(number, DEFAULT, SCORE), found.seeds)]
        for study, place in studies.items():
            parts.append((one.settings[place], Label(number, TUNED, SCORE, study, place + 1), found.seeds))
        seeds = found.seeds[: found.settings["sensitivity"]]
        centre, place = one.settings[best[number]], best[number] + 1
        for name, values in one.quartiles.items() if seeds else []:
            moved = Label(number, TUNED, SENSITIVITY, 0, place, name)
            parts += [(centre | {name: value}, moved, seeds) for value in values if value != centre[name]]
        base = one.base | one.judged_on("test")
        for own, label, some in parts:
            yield from (Wanted(one.combination, base | own | {SEED: seed}, label) for seed in some)


def assemble(base: Sweep, wanted: Sequence[Wanted]) -> tuple[Sweep, list[Label]]:
    """A sweep of these trials over the combinations of another one, and their labels in its order."""
    names: dict[int, dict[str, None]] = {}
    for one in wanted:
        names.setdefault(one.combination, {}).update(dict.fromkeys(one.values))
    axes: dict[str, dict[str, Any]] = {name: {} for own in names.values() for name in own}
    rows: list[tuple[int, dict[str, str], Label]] = []
    for one in sorted(wanted, key=lambda trial: trial.combination):
        config = base.combinations[one.combination].config
        values = {name: one.values.get(name, _of(config, name)) for name in names[one.combination]}
        keys = {name: canonical(value) for name, value in values.items()}
        for name, key in keys.items():
            axes[name].setdefault(key, values[name])
        rows.append((one.combination, keys, one.label))
    places = {name: {key: place for place, key in enumerate(known)} for name, known in axes.items()}
    points = [[c, *(places[name][keys[name]] if name in keys else -1 for name in axes)] for c, keys, _ in rows]
    combinations = [Combination(one.choices, one.config) for one in base.combinations]
    sweep = Sweep(base.command, base.search_path, combinations, {k: list(v.values()) for k, v in axes.items()}, points)
    return sweep, [label for _, _, label in rows]


def _of(config: Mapping[str, Any], name: str) -> Any:
    return setting(config, name)


def count_scores(found: Design) -> tuple[int, int]:
    """How many trials the score takes, and at most the sensitivity."""
    score = len(found.candidates) * len(found.seeds) * (1 + found.settings["studies"])
    moved = sum(len(values) for one in found.candidates for values in one.quartiles.values())
    return score, moved * min(found.settings["sensitivity"], len(found.seeds))


def worse(value: float) -> float:
    """A score of which less is better, infinite where it is none."""
    return value if math.isfinite(value) else math.inf
