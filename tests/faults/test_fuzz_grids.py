"""Random grids: every trial's settings against a plain product of all values, put over each other in written order."""

import copy
import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quantbench.errors import ConfigError
from quantbench.sweeps.compose import compose

BASE = ["quantizer=vqp_vq"]
GRADIENTS = {"ste": "STE", "mste": "MSTE", "vp": "VP"}
HOSTILE = "=,()[]{}~'\"\\ :$#@%&*;.+-|<>!?^`x0é\n\t"
TEXTS = [
    "null",
    "1",
    "007",
    "1e3",
    "true",
    "a,b",
    "split/x,y",
    "a=b",
    "(",
    "[q]",
    "{a:b}",
    "it's",
    "\\",
    "a\\'",
    "glob(*)",
    "~",
    "",
]

text = (st.sampled_from(TEXTS) | st.text(HOSTILE, max_size=6)).filter(lambda one: "${" not in one and "???" not in one)
scalar = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**12), st.floats(allow_nan=False, allow_infinity=False), text, text
)
leaf = scalar | st.lists(scalar, max_size=3)


def mapping(*names):
    return st.dictionaries(st.sampled_from(names), leaf, min_size=1, max_size=3)


KEYS = {
    "seed": st.integers(0, 9),
    "train": mapping("steps", "batch", "lr"),
    "train.steps": leaf,
    "train.batch": leaf,
    "quantizer.module": leaf,
    "quantizer.arguments": mapping("codebook_size", "rotation_trick") | st.none(),
    "quantizer.arguments.codebook_size": leaf,
    "++quantizer.arguments.heads": leaf | mapping("a", "b"),
    "++train.batch": leaf,
    "gradient": st.sampled_from(sorted(GRADIENTS)),
}


def pairs(keys, most):
    """Keys, each with one to ``most`` values."""
    each = [st.tuples(st.just(key), st.lists(KEYS[key], min_size=1, max_size=most)) for key in keys]
    return st.lists(st.one_of(each), max_size=2)


@st.composite
def grids(draw):
    """Words of the command line, axes and points of an experiment, and what is to be left out, all as plain data."""
    choosing = draw(st.sampled_from(["params", "points"]))
    keys = {place: [key for key in KEYS if key != "gradient" or place == choosing] for place in ("params", "points")}
    point = pairs(keys["points"], 1).map(lambda found: {key: values[0] for key, values in found})
    points = draw(st.lists(point.filter(bool), max_size=2))
    params = draw(pairs(keys["params"], 2).map(dict))
    words = draw(pairs(KEYS, 2))
    exclude = draw(st.lists(st.integers(0, 10**6), max_size=1))
    return words, params, points, exclude, draw(st.integers(0, 7))


def bare(key):
    return key.lstrip("+")


def written(value):
    """A value in Hydra's grammar, text in double quotes."""
    if isinstance(value, str):
        ended = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), value)
        return f'"{ended}"'
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(item)}' for key, item in value.items())}}}"
    return json.dumps(value)


def over(config, key, value, new):
    """Put a value into a configuration, a mapping over what is there. Raises KeyError where nothing is."""
    *parents, last = bare(key).split(".")
    for parent in parents:
        if new and config.get(parent) is None:
            config[parent] = {}
        config = config[parent]
    if not isinstance(config, dict) or (last not in config and not new):
        raise KeyError(key)
    if isinstance(value, dict) and isinstance(config.get(last), dict):
        for name, item in value.items():
            over(config[last], name, item, new)
    else:
        config[last] = copy.deepcopy(value)


def points_of(words, params, points):
    """Every point as keys and values, in order; the command line takes the place of an experiment's keys, but for mappings."""
    given = {}
    for key, values in words:
        given.setdefault(bare(key), []).extend(values)

    def stays(key, values):
        later = given.get(bare(key))
        return later is None or all(isinstance(one, dict) for one in [*later, *values])

    axes = [[(key, one) for one in values] for key, values in params.items() if stays(key, values)]
    axes += [[(key, one) for one in values] for key, values in words]
    for point in points or [{}]:
        own = [(key, value) for key, value in point.items() if stays(key, [value])]
        yield from ([*own, *row] for row in itertools.product(*axes))


def flat(point):
    """Values by key, those within mappings too; the last one counts."""
    found = {}
    for key, value in point:
        found[bare(key)] = value
        if isinstance(value, dict):
            found |= flat([(f"{key}.{name}", item) for name, item in value.items()])
    return found


def expected(base, words, params, points, exclude):
    """The settings of all trials. Raises KeyError where one has no such setting."""
    found = []
    for point in points_of(words, params, points):
        values = flat(point)
        if exclude and all(key in values and text_of(values[key]) == text_of(value) for key, value in exclude.items()):
            continue
        config = copy.deepcopy(base)
        for key, value in sorted(point, key=lambda pair: pair[0] != "gradient"):
            if key == "gradient":
                config["gradient"] = gradients()[value]
            else:
                over(config, key, value, key.startswith("+"))
        found.append(config)
    return {text_of(one) for one in found}


def text_of(value):
    """One text for what is equal; 1 and 1.0 are."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dict):
        return json.dumps({key: text_of(item) for key, item in sorted(value.items())})
    return json.dumps([text_of(one) for one in value]) if isinstance(value, list) else json.dumps(value)


_known = {}


def gradients():
    if not _known:
        for name in GRADIENTS:
            ((_, config),) = compose([*BASE, f"gradient={name}"]).configs()
            _known[name] = config["gradient"]
            _known["base"] = config | {"gradient": _known["ste"]} if name == "ste" else _known["base"]
    return _known


def experiment(folder, params, points, exclude, form):
    """Write the experiment; axes as lists, or as text where a bit of ``form`` says so."""
    axes = {}
    for place, (key, values) in enumerate(params.items()):
        as_text = form >> place & 1
        axes[key] = ",".join(map(written, values)) if as_text else values
    sweeper = {"params": axes, "points": points, "exclude": [exclude] if exclude else []}
    (folder / "experiment").mkdir(exist_ok=True)
    content = json.dumps({"hydra": {"mode": "MULTIRUN", "sweeper": sweeper}})
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{content}\n")


def check(folder, grid):
    words, params, points, chosen, form = grid
    base = copy.deepcopy(gradients()["base"])
    exclude = {}
    if chosen and (every := [point for point in points_of(words, params, points) if point]):
        values = flat(every[chosen[0] % len(every)])
        exclude = dict(list(values.items())[-2:])
    experiment(folder, params, points, exclude, form)
    command = [*BASE, "+experiment=mine", *(f"{key}={','.join(map(written, values))}" for key, values in words)]
    try:
        right = expected(base, words, params, points, exclude)
    except (KeyError, TypeError):
        right = set()
    try:
        found = {text_of(config) for _, config in compose(command, folder).configs()}
    except ConfigError:
        found = set()
    assert found == right, (command, params, points, exclude)


FUZZ = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "database": None,
    "phases": [Phase.generate],
}


@settings(max_examples=4, **FUZZ)
@given(grid=grids())
def test_4_grids(tmp_path, grid):
    check(tmp_path, grid)


@pytest.mark.slow
@settings(max_examples=1000, **FUZZ)
@given(grid=grids())
def test_1000_grids(tmp_path, grid):
    check(tmp_path, grid)
