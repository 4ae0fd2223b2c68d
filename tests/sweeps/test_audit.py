import pandas as pd
import pytest

from quantbench.cli import main
from quantbench.results.schema import AUDIT
from tests.sweeps.test_workers import DEADLY

SMALL = ["codec.latent_dim=2", "codec.hidden=8", "simulator.frame_dim=2", "train.steps=5", "--seeds", "2"]
PAIR = ["quantizer=fsq", "gradient=ste"]
FILE = """
from quantbench.components import component
from quantbench.gradients import Gradient


@component
class Silent(Gradient):
    def pass_through(self, quantizer, state, latents, code, moment):
        return code.values


@component
class Broken(Gradient):
    def pass_through(self, quantizer, state, latents, code, moment):
        raise ValueError("not today")
"""


def run(tmp_path, *words, sigma="2"):
    code = main(["audit", *words, *SMALL, "--sigma", sigma, "--output", str(tmp_path / "out")])
    (file,) = (tmp_path / "out" / "audit").glob("*/audit.csv")
    return code, pd.read_csv(file)


def test_an_audit_writes_a_tidy_table(tmp_path, capsys):
    code, table = run(tmp_path, "quantizer=fsq", "gradient=ste,noise", sigma="1,2")
    assert code == 0
    assert list(table.columns) == AUDIT
    assert len(table) == 2 * 2 * 2 * 2  # gradients, moments, seeds, widths
    assert table["cosine"].between(-1, 1).all()
    assert (table["reference_error"] < 0.05).all()
    shown = capsys.readouterr().out
    assert "before training" in shown
    assert "no ranking" in shown
    assert "largest standard error of a reference" in shown
    alone = run(tmp_path / "again", "quantizer=fsq", "gradient=noise", sigma="1,2")[1]
    pd.testing.assert_frame_equal(alone, table[table["gradient"] == "noise"].reset_index(drop=True))


def test_mistakes_of_a_strategy_of_ones_own_are_found(tmp_path, capsys):
    (tmp_path / "gradient").mkdir()
    (tmp_path / "mine.py").write_text(FILE)
    for name in ("Silent", "Broken"):
        (tmp_path / "gradient" / f"{name.lower()}.yaml").write_text(f"_target_: mine.{name}\n")
    code, table = run(tmp_path, "quantizer=fsq", "gradient=silent,broken", "--config-dir", str(tmp_path))
    assert code == 1
    found = table.groupby("gradient")["findings"].first()
    assert found["silent"] == "the distortion gives the encoder no gradient"
    assert "ValueError: not today" in found["broken"]
    assert "found: quantizer=fsq gradient=silent" in capsys.readouterr().err


@pytest.mark.parametrize(("times", "failed"), [(1, 0), (100, 1)])
def test_pairs_that_kill_their_worker_are_audited_once_more(tmp_path, monkeypatch, times, failed):
    monkeypatch.setattr("quantbench.sweeps.executors.processes.cores", lambda: 2)
    monkeypatch.setattr("quantbench.sweeps.audit.PAIRS_A_STACK", 1)
    (tmp_path / "gradient").mkdir()
    (tmp_path / "audited_deadly.py").write_text(DEADLY.replace('"deaths"', f'"{tmp_path}/deaths"'))
    (tmp_path / "gradient" / "deadly.yaml").write_text(f"_target_: audited_deadly.Deadly\ntimes: {times}\n")
    code, table = run(tmp_path, "quantizer=fsq", "gradient=ste,deadly,noise", "--config-dir", str(tmp_path))
    assert code == failed
    found = table["findings"].astype(object).fillna("")
    died = found == "failed: its worker process died (out of memory, or killed)"
    assert table["gradient"][died].tolist() == ["deadly"] * failed * 2  # seeds
    assert set(found[~died]) == {""}
    assert (~died).sum() == (3 - failed) * 2 * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quantizer=vqq"], "quantizer=vqq: no such choice"),
        (["levels=3"], "levels=3: unknown setting"),
        ([*PAIR, "executor=slurm"], "executor: an audit's driver waits"),
        (["quantizer=fsq", "quantizer.codes=3"], "quantizer.codes=3: unknown setting"),
        (["quantizer=fsq", "gradient=rotation"], "the quantizer offers no codebook"),
        ([*PAIR, "train.steps=0"], "train.steps=0: must be at least 1"),
        ([*PAIR, "dry_run=true"], "dry_run=true: an audit keeps nothing but audit.csv"),
        ([*PAIR, "format=parquet"], "format=parquet: an audit writes audit.csv"),
        ([*PAIR, "--sigma", "0,1"], "sigma=0: must be finite and above 0"),
        ([*PAIR, "--sigma", "1,1"], "sigma=1,1: must be different widths"),
        (["--seeds", "0"], "seeds=0: must be at least 1"),
        (["--seeds", "2", "seed=1"], "--seeds 2: seed=1 says which seeds there are"),
    ],
)
def test_bad_input_is_refused(tmp_path, capsys, words, message):
    assert main(["audit", *words, "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("audit/*"))


def test_an_experiments_own_trials_are_audited(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "few.yaml").write_text(
        "# @package _global_\ntrain: {steps: 5, batch: 8, log_every: 5}\nsimulator: {bits: 3}\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {quantizer.codes: [4, 8], gradient: 'ste,mste', seed: '1,2'}}}\n"
    )
    words = ["+experiment=few", "quantizer=vq", "codec.latent_dim=2", "codec.hidden=8", "--config-dir", str(tmp_path)]
    assert main(["audit", *words, "--sigma", "2", "--output", str(tmp_path / "o ${seed}")]) == 0
    (file,) = (tmp_path / "o ${seed}" / "audit").glob("*/audit.csv")
    table = pd.read_csv(file)
    assert sorted(table["quantizer.codes"].unique()) == [4, 8]
    assert sorted(table["seed"].unique()) == [1, 2]
    assert len(table) == 2 * 2 * 2 * 2
