"""Runs for the tests of reports."""

import json

import numpy as np
import pandas as pd

from quantbench.results.tables import results_table

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)></script><!--\u2028<a href='javascript:alert(3)'>`${alert(4)}` $title"
)
SWEEP = "command: [+experiment=test]\naxes: {}\ncombinations: []\n"
STEPS = range(0, 1001, 100)


def write_run(
    folder,
    gradients=("ste", "mste", "noise"),
    bits=(6, 8),
    seeds=range(5),
    broken=(),
    experiment="test",
    curves=True,
    failed=(),
):
    """A run's folder: ``gradients`` from the best to the worst, 1 dB apart; trials in ``broken`` diverged."""
    generator = np.random.default_rng(5)
    rows, points = [], []
    for place, gradient in enumerate(gradients):
        for size in bits:
            for seed in seeds:
                trial = f"{place:04d}{size:02d}-{seed}"
                diverged, ended_badly = (gradient, size, seed) in broken, (gradient, size, seed) in failed
                value = -10 + place + 0.3 * np.sin(13 * seed) + 0.05 * generator.normal()
                row = {
                    "trial": trial,
                    "experiment": experiment,
                    "status": "diverged" if diverged else "failed" if ended_badly else "completed",
                    "seed": seed,
                }
                row |= {"simulator": "codeword", "codec": "mlp", "quantizer": "vq", "gradient": gradient, "loss": "mse"}
                row |= {"simulator.bits": size, "rate_bits": float(size), "spent_bits": size - 0.1 * place, "seconds": 1.0}
                if diverged:
                    row |= {"error": "the loss is not finite", "diverged_step": 500}
                elif ended_badly:
                    row |= {"error": "out of memory"}
                else:
                    row |= {"nmse_db": value, "mse": 10 ** (value / 10), "gap_db": 3.0 + place, "usage": 0.5}
                    row |= {"excess_bits": 1.0 + place}
                rows.append(row)
                for step in STEPS[: 5 if diverged else None]:
                    growth = 2.0 ** (step / 100) if gradient == "ste" else 1.1
                    points += [(trial, step, "encoder_std", 0.5 * growth), (trial, step, "mse", 1 / (1 + step) + 0.1 * place)]
    folder.mkdir(parents=True)
    results_table(rows, ["simulator.bits"]).to_csv(folder / "results.csv", index=False)
    if curves:
        pd.DataFrame(points, columns=["trial", "step", "metric", "value"]).to_csv(folder / "curves.csv", index=False)
    (folder / "environment.json").write_text('{"quantbench": "0.1.0", "device": "cpu"}')
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def hostile_run(folder):
    """Every text that a file can bring along is hostile."""
    write_run(folder, gradients=(HOSTILE, "mste"), experiment=HOSTILE, broken=[("mste", 6, 0)])
    table = pd.read_csv(folder / "results.csv")
    table["simulator"], table["device"], table["limit_note"] = HOSTILE, HOSTILE, HOSTILE
    table["trial"] = HOSTILE + table["trial"]
    table.loc[table["status"] == "diverged", "error"] = HOSTILE
    table["quantizer." + HOSTILE] = [HOSTILE if row % 2 else "b" for row in range(len(table))]
    table.to_csv(folder / "results.csv", index=False)
    curves = pd.read_csv(folder / "curves.csv")
    curves["trial"] = HOSTILE + curves["trial"]
    curves["metric"] = curves["metric"].replace("mse", HOSTILE)
    curves.to_csv(folder / "curves.csv", index=False)
    (folder / "environment.json").write_text(HOSTILE)
    (folder / "sweep.yaml").write_text(f"note: {json.dumps(HOSTILE)}\n{SWEEP}")
    return folder
