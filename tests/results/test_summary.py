import json
import re

import pandas as pd
import pytest

from quantbench.results.summary import summary
from quantbench.results.tables import results_table


def rows():
    for gradient in ("ste", "mste"):
        for bits in (4, 6):
            for seed in range(3):
                failed = gradient == "ste" and seed == 2
                yield {
                    "trial": f"{gradient}{bits}-{seed}",
                    "status": "diverged" if failed else "completed",
                    "seed": seed,
                    "simulator": "codeword",
                    "codec": "mlp",
                    "quantizer": "vq",
                    "gradient": gradient,
                    "simulator.bits": bits,
                    "quantizer.codes": 2**bits,
                    "mse": 1e9 if failed else 0.1 * seed + 0.1,
                    "nmse_db": -5.0,
                    "usage": 0.5,
                    "encoder_growth": 10.0 ** (seed + 1),
                }


def table() -> pd.DataFrame:
    return results_table(list(rows()), ["simulator.bits", "quantizer.codes"])


def lines():
    header, _, *body = [re.split(r"  +", line) for line in summary(table()).splitlines()]
    return header, body


def test_one_line_a_setting_and_no_column_that_follows_from_another():
    header, body = lines()
    assert header == ["gradient", "simulator.bits", "trials", "failed", "mse", "nmse_db", "usage", "encoder_growth"]
    assert len(body) == 4


def test_failures_are_counted_and_never_averaged():
    ste = next(line for line in lines()[1] if line[:2] == ["ste", "4"])
    assert ste[2:5] == ["3", "1", "0.15 [0.1, 0.2]"]
    mste = next(line for line in lines()[1] if line[:2] == ["mste", "4"])
    assert mste[2:4] == ["3", "0"]
    assert mste[-2:] == ["0.5", "100"]  # the geometric mean of 10, 100 and 1000


def test_skipped_trials_do_not_show():
    skipped = table().assign(status="skipped", gradient="noise")
    assert "noise" not in summary(pd.concat([table(), skipped]))


def test_what_is_known_of_the_best_stands_beside_the_codecs():
    known = [row | {"gap_db": 2.0 + row["seed"], "limit_mse": 0.05, "reference_mse": 0.08} for row in rows()]
    mste = json.loads(summary(results_table(known, ["simulator.bits", "quantizer.codes"]), "json"))[2]
    assert (mste["gradient"], mste["simulator.bits"]) == ("mste", "4")
    assert [mste[name] for name in ("gap_db", "gap_db_low", "gap_db_high")] == [3, 2, 4]
    assert (mste["limit_mse"], mste["reference_mse"]) == pytest.approx((0.05, 0.08))


def test_what_follows_from_several_settings_is_left_out_and_what_follows_from_a_choice_is_not():
    given = [
        row | {"train.steps": row["simulator.bits"] * (2 if row["gradient"] == "ste" else 3), "quantizer.commitment": weight}
        for row in rows()
        for weight in [1.0 if row["gradient"] == "ste" else 0.0]
    ]
    columns = ["simulator.bits", "quantizer.codes", "quantizer.commitment", "train.steps"]
    header = summary(results_table(given, columns), "csv").splitlines()[0]
    assert header.startswith("gradient,simulator.bits,quantizer.commitment,trials")
