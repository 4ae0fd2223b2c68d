"""Every message about a name that is not there says what may be meant."""

import pytest

from quantbench.choices import GROUPS, choices
from quantbench.metrics import METRICS
from quantbench.suggest import CHOICES, SETTINGS, like, like_setting
from quantbench.suggest import METRICS as USUAL_METRICS
from quantbench.sweeps.choice_files import settings

TYPED = {
    "a like command": (["rnak"], ["did you mean rank?"]),
    "an experiment for a command": (["smoke"], ["smoke: no such command", "type `quantbench run +experiment=smoke`"]),
    "a choice for a command": (["quantizer=vq"], ["did you mean quantbench run quantizer=vq?"]),
    "a like choice": (["run", "quantizer=vqq"], ["quantizer=vqq: no such choice", "did you mean vq or vqp_vq?"]),
    "a like choice on an axis": (["run", "-m", "quantizer=fsq,vqq"], ["quantizer=vqq: no such choice", "did you mean vq"]),
    "the field's choice": (["run", "gradient=straight_through"], ["; did you mean ste?"]),
    "a like experiment": (["run", "+experiment=smoke2"], ["+experiment=smoke2: no such choice", "did you mean smoke?"]),
    "a like choice of Hydra's": (["run", "hydra/launcher=basics"], ["there are basic, quantbench; did you mean basic?"]),
    "a like group": (["run", "+quantizr=vq"], ["quantizr=vq: unknown setting", "did you mean quantizer?"]),
    "experiment, misspelt": (["run", "experimnt=smoke"], ["did you mean +experiment=NAME"]),
    "the field's setting": (["run", "quantizer.codebook_size=64"], ["did you mean quantizer.codes?"]),
    "the field's setting, added": (["run", "+quantizer.num_embeddings=64"], ["did you mean quantizer.codes?"]),
    "the field's setting of stages": (["run", "quantizer=rvq", "quantizer.num_embeddings=9"], ["mean quantizer.stage.codes?"]),
    "the field's setting, elsewhere": (["run", "batch_size=64"], ["batch_size=64: unknown", "did you mean train.batch?"]),
    "the field's setting and value": (["run", "quantizer.use_cosine_sim=true"], ["did you mean quantizer.search=cosine?"]),
    "a setting without its group": (["run", "steps=64"], ["steps=64: unknown setting", "did you mean train.steps?"]),
    "a setting for Hydra": (["run", "--cfg", "job", "quantizer.codez=4"], ["codez=4: unknown", "mean quantizer.codes?"]),
    "a deleted setting": (["run", "~quantizer.codez"], ["~quantizer.codez: unknown", "did you mean quantizer.codes?"]),
    "an inner choice without +": (
        ["run", "quantizer=residual", "quantizer@quantizer.stage=lfq"],
        ["nothing is chosen there yet; +quantizer@quantizer.stage=lfq"],
    ),
    "an experiment's name": (["run", "ste_vs_anneal"], ["ste_vs_anneal: is a choice; type +experiment=ste_vs_anneal"]),
    "an experiment's name for Hydra": (["run", "--cfg", "job", "smoke"], ["smoke: is a choice; type +experiment=smoke"]),
    "an experiment's name, misspelt": (["run", "ste_vs_aneal"], ["did you mean +experiment=ste_vs_anneal"]),
    "a choice's name": (["run", "vq"], ["vq: is a choice; type quantizer=vq"]),
    "two words": (["run", "quantizer", "vq"], ["quantizer: to choose one, type quantizer=vq"]),
    "two words, experiment": (["run", "experiment", "smoke"], ["type +experiment=smoke"]),
    "three words": (["run", "quantizer", "=", "vq"], ["write quantizer=VALUE as one word"]),
    "a setting in two words": (["run", "train.steps", "50"], ["train.steps: type train.steps=50"]),
    "a flag for an experiment": (["run", "--experiment", "smoke"], ["--experiment: is no flag; type +experiment=smoke"]),
    "a flag for a setting": (["run", "--learning_rate", "1"], ["--learning_rate: no such flag", "did you mean train.lr=1?"]),
    "a like flag": (["run", "--multi-run"], ["--multi-run: no such flag; did you mean --multirun?"]),
    "a flag without its value": (["run", "--config-dir"], ["--config-dir/-cd: expected one argument"]),
    "a codec without audio": (["run", "codec=dac_tiny"], ["codec=dac_tiny: takes waveforms"]),
    "a loss without audio": (["run", "loss=audio"], ["loss=audio: compares waveforms"]),
    "a like metric for a sweeper": (["run", "objective=nmse"], ["objective=nmse: no such metric", "did you mean nmse_db"]),
    "a like metric": (["rank", "r.csv", "--metric", "mse_db"], ["--metric mse_db: no such metric", "did you mean mse?"]),
    "a like setting of a table": (["rank", "r.csv", "--by", "quantiser"], ["no such setting", "did you mean quantizer?"]),
}


@pytest.mark.parametrize("case", TYPED)
def test_what_may_be_meant_is_told(quantbench, tmp_path, case):
    words, expected = TYPED[case]
    header = "trial,experiment,status,error,seed,simulator,codec,quantizer,gradient,mse,dead_codes"
    (tmp_path / "r.csv").write_text(f"{header}\na,x,completed,,0,codeword,mlp,vq,ste,1,1\n")
    code, out, err = quantbench(*words)
    assert code == 2, out + err
    assert "Traceback" not in err
    for text in expected:
        assert text in err


def test_what_the_field_calls_a_setting_stands_for_one_of_ours():
    there = settings()
    for ours in SETTINGS:
        name = ours.partition("=")[0]
        assert name in there or any(one.endswith(f".{name}") for one in there), ours
    every = {name for group in GROUPS for name in choices(group)}
    assert set(CHOICES) <= every
    assert set(USUAL_METRICS) <= set(METRICS)
    for table in (SETTINGS, CHOICES, USUAL_METRICS):
        names = [name for some in table.values() for name in some.split()]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("table", [CHOICES, USUAL_METRICS])
def test_no_name_of_ours_is_another_ones_elsewhere(table):
    assert not {name for some in table.values() for name in some.split()} & {*table}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quantizer.codebook_dim", ["quantizer.projection"]),
        ("quantizer.kmeans_init", ["quantizer.init_by=kmeans"]),
        ("quantizer.threshold_ema_dead_code", ["quantizer.restart"]),
        ("quantizer.beta", ["quantizer.commitment"]),
        ("learning_rate", ["train.lr"]),
        ("train.epochs", ["train.steps"]),
        ("quantiser.codes", ["quantizer.codes"]),
        ("simulator.bit", ["simulator.bits"]),
        ("foo.bar", []),
        ("zzz", []),
    ],
)
def test_a_setting_that_may_be_meant(name, meant):
    there = [one for one in settings() if ".stage" not in one and ".part" not in one]
    assert like_setting(name, there)[: len(meant) or 2] == meant


def test_a_metric_that_may_be_meant():
    assert like("nmse", METRICS)[0] == "nmse_db"
    assert like("psnr", METRICS, USUAL_METRICS) == ["nmse_db"]
    assert like("beauty", METRICS) == []
    assert like("", METRICS) == []
