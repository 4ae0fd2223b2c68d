import json
import re

import pandas as pd
import pytest

from quantbench.results.load import of_table
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
                    "rate_bits": float(bits),
                    "mse": 1e9 if failed else 0.1 * seed + 0.1,
                    "nmse_db": -5.0,
                    "usage": 0.5,
                    "encoder_growth": 10.0 ** (seed + 1),
                }


def table() -> pd.DataFrame:
    return results_table(list(rows()), ["simulator.bits", "quantizer.codes"])


def lines():
    header, _, *body = [re.split(r"  +", line) for line in summary(of_table(table())).split("\n\n")[0].splitlines()]
    return header, body


def test_one_line_a_method_and_task():
    header, body = lines()
    mean = "[95 % if normal]"
    assert header == [
        *(
            "method",
            "task",
            "trials",
            "diverged",
            "failed",
            "rate_bits",
            f"nmse_db {mean}",
            f"mse {mean}",
            "usage",
            "encoder_growth",
        )
    ]
    assert [line[:2] for line in body] == [[f"vq {name}", f"bits={bits}"] for name in ("ste", "mste") for bits in (4, 6)]


def test_failures_are_counted_and_never_averaged():
    ste = lines()[1][0]
    assert ste[2:5] == ["3", "1", "0"]
    assert ste[7].startswith("0.15 [")
    assert "trials that diverged or failed are in no mean" in summary(of_table(table()))
    mste = lines()[1][2]
    assert mste[2:5] == ["3", "0", "0"]
    assert mste[-2:] == ["0.5", "100"]  # the geometric mean of 10, 100 and 1000


def test_skipped_trials_do_not_show():
    skipped = table().assign(status="skipped", gradient="noise")
    assert "noise" not in summary(of_table(pd.concat([table(), skipped])))


def test_what_is_known_of_the_best_stands_beside_the_codecs():
    known = [row | {"excess_bits": 2.0 + row["seed"], "reference_mse": 0.08} for row in rows()]
    found = json.loads(summary(of_table(results_table(known, ["simulator.bits", "quantizer.codes"])), "json"))[2]
    assert (found["method"], found["task"]) == ("vq mste", "bits=4")
    assert (found["excess_bits"], found["rate_bits"], found["reference_mse"]) == pytest.approx((3, 4, 0.08))
    assert found["excess_bits_high"] - found["excess_bits"] == pytest.approx(4.302652729 / 3**0.5)  # Student's, of 2, 3, 4


def test_waveforms_show_what_is_heard_first():
    known = [row | {"mel_distance_db": 5.0} for row in rows()]
    header = summary(of_table(results_table(known, ["simulator.bits", "quantizer.codes"])), "csv").splitlines()[0]
    assert header.index("mel_distance_db") < header.index("mse")


def test_nothing_completed_is_a_table_of_failures():
    failed = table().assign(status="failed")
    assert "3       0         3" in summary(of_table(failed, ["quantizer.codes"]))
