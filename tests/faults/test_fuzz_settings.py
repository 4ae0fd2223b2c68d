"""Overrides, flags and YAML choices that make no sense, given to `run`, `list` and `audit`; nothing trains."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantbench.errors import QuantBenchError
from quantbench.sweeps import audit
from tests.faults.tools import assert_told, call, files

GROUPS = ["simulator", "codec", "quantizer", "gradient", "loss", "executor", "train", "experiment", "hydra/launcher", "nowhere"]
CHOICES = [
    "codeword",
    "gaussian",
    "mlp",
    "vq",
    "fsq",
    "rvq",
    "none",
    "lattice",
    "external",
    "entropy_scalar",
    "ste",
    "mste",
    "own",
    "soft_to_hard",
    "warm_up",
    "mse",
    "inline",
    "processes",
    "smoke",
    "basic",
    "../vq",
    "/etc/passwd",
    "x",
]
SETTINGS = [
    "simulator.bits",
    "simulator.frame_dim",
    "codec.hidden",
    "codec.latent_dim",
    "quantizer.codes",
    "quantizer.levels",
    "quantizer.stages",
    "quantizer.stage.codes",
    "quantizer.stage._target_",
    "+quantizer@quantizer.stage",
    "quantizer.commitment",
    "quantizer._target_",
    "quantizer.module",
    "gradient._target_",
    "gradient.temperature.start",
    "train.steps",
    "train.batch",
    "train.lr",
    "train.log_every",
    "train.warm_start",
    "seed",
    "device",
    "output",
    "experiment",
    "executor.stack_size",
    "executor.workers",
    "checkpoint_every",
    "export",
    "nothing",
    "quantizer",
    "train",
    "hydra.sweeper.params",
    "hydra.sweeper.points",
    "hydra.sweeper.exclude",
    "hydra.mode",
]
VALUES = [
    "",
    "0",
    "1",
    "-1",
    "2",
    "8",
    "64",
    "1e9",
    "1e400",
    "99999999999999999999",
    "-0.5",
    "nan",
    "inf",
    "null",
    "true",
    "~",
    "''",
    "[]",
    "[1]",
    "[1,2]",
    "[[]]",
    "{}",
    "{a:1}",
    "{a:{b:[1]}}",
    "text",
    "os.system",
    "quantbench.codecs.MLP",
    "quantbench.gradients",
    "quantbench.__main__.main",
    "..",
    ".",
    "a.b.c",
    "${seed}",
    "${nothing}",
    "${oc.env:NOTHING}",
    "${two_to:3}",
    "${two_to:1e9}",
    "${two_to:text}",
    "${quantizer.codes}",
    "$",
    "${",
    "range(0,3)",
    "range(0,99999999999)",
    "range(3,0)",
    "choice(1,2)",
    "1,2",
    "interval(0,1)",
    "glob(*)",
    "glob(*,exclude=*)",
    "shuffle(1,2)",
    "sort(2,1)",
    "cast(int)",
    "int(1.5)",
    "str([1])",
    "\x00",
    "\x1b[31m",
    "é",
    "\ud83d",
    "a b",
    "'a\nb'",
    "\\",
    '"',
    "=",
    "==",
    "cpu",
    "meta",
    "cuda:9",
    "x" * 3000,
    "[" * 60,
    "1," * 200 + "1",
]
FLAGS = [
    "-m",
    "--multirun",
    "--cfg",
    "job",
    "--config-dir",
    ".",
    "--config-name",
    "nothing",
    "--export",
    "--info",
    "--resolve",
    "--package",
    "-h",
    "--version",
    "--seeds",
    "--sigma",
    "--format",
    "json",
    "--",
    "-x",
    "--output",
    "-c",
    "-p",
]

value = st.sampled_from(VALUES * 3) | st.text(max_size=4)
override = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), st.sampled_from(SETTINGS), st.just("="), value).map("".join),
    st.tuples(st.sampled_from(["", "", "+"]), st.sampled_from(GROUPS), st.just("="), st.sampled_from(CHOICES)).map("".join),
    st.tuples(st.sampled_from(SETTINGS + GROUPS), st.sampled_from(["", "@", "@x=", "=", "@gradient.then="]), value).map(
        "".join
    ),
)
words = st.tuples(
    st.lists(override, min_size=1, max_size=3),
    st.lists(st.one_of(st.sampled_from(FLAGS), st.text(max_size=8)), max_size=3).map(
        lambda one: one if len(one) == 2 else one[:1]
    ),
).map(lambda both: [*both[1], *both[0]])

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 300), st.floats(), st.sampled_from(VALUES), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
target = st.sampled_from(
    [f"quantbench.quantizers.{name}" for name in ("VectorQuantizer", "FSQ", "External", "Residual", "Quantizer")]
)
names = st.sampled_from(
    ["codes", "levels", "commitment", "module", "arguments", "slots", "stage", "_target_", "defaults", "nothing", "then"]
)
choice = st.one_of(
    st.tuples(target, st.dictionaries(names, plain, max_size=3)).map(lambda both: {"_target_": both[0]} | both[1]),
    st.dictionaries(names, plain, max_size=3),
    plain,
).map(lambda content: yaml.safe_dump(content, allow_unicode=True)) | st.text(max_size=60)

FEW = ["quantizer=fsq", "gradient=ste,noise"]
"""In the place of all choices, which an audit takes seconds to compose."""
FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


@pytest.fixture
def only_planned(monkeypatch, tmp_path):
    """Nothing trains: `run` has dry_run=true, an audit ends where it would begin."""

    def stop(output, experiment, name=None):
        raise QuantBenchError("planned")

    monkeypatch.setattr(audit, "new_folder", stop)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    monkeypatch.chdir(tmp_path)


def check_words(folder, given):
    before = files(folder)
    given = [word for word in given if "dry_run" not in word]
    for one in (["run", "executor=inline", "dry_run=true", *given], ["list", *given[:1]], ["audit", *FEW, *given]):
        code, out, err = call(one)
        assert_told(code, out, err)
    assert files(folder) == before


def check_choice(folder, content):
    (folder / "quantizer").mkdir(exist_ok=True)
    (folder / "quantizer" / "mine.yaml").write_bytes(content.encode("utf-8", "surrogatepass"))
    before = files(folder)
    plan = ["run", "--config-dir", str(folder), "quantizer=mine", "executor=inline", "dry_run=true"]
    for one in (
        plan,
        ["list", "quantizer", "--config-dir", str(folder)],
        ["audit", *FEW, "quantizer=mine", "--config-dir", str(folder)],
    ):
        assert_told(*call(one))
    assert files(folder) == before


@settings(max_examples=6, **FUZZ)
@given(given=words)
def test_6_command_lines(only_planned, tmp_path, given):
    check_words(tmp_path, given)


@settings(max_examples=2, **FUZZ)
@given(content=choice)
def test_2_choices(only_planned, tmp_path, content):
    check_choice(tmp_path, content)


@pytest.mark.slow
@settings(max_examples=600, **FUZZ)
@given(given=words)
def test_600_command_lines(only_planned, tmp_path, given):
    check_words(tmp_path, given)


@pytest.mark.slow
@settings(max_examples=400, **FUZZ)
@given(content=choice)
def test_400_choices(only_planned, tmp_path, content):
    check_choice(tmp_path, content)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "seed=" + "[" * 5000, "dry_run=true"],
        ["run", "-m", "dry_run=true", "seed=range(0,100000000)"],
        ["run", "-m", "dry_run=true", "seed=range(0,2000)", "train.steps=range(1,2000)"],
        ["run", "dry_run=true", "quantizer.codes=${two_to:10000000000}"],
        ["list", "\x1b]0;title\x07"],
    ],
    ids=["nested", "range", "grid", "power", "escape"],
)
def test_command_lines_in_a_process_of_their_own(command, tmp_path, words):
    """For what could take all time and memory."""
    process = command(*words, cwd=tmp_path)
    assert_told(process.wait(), *process.communicate())
    assert process.returncode == 2
    assert not list(tmp_path.iterdir())
