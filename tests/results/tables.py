"""Small results tables for tests."""

import numpy as np

from quantbench.results.frame import frame
from quantbench.results.load import of_table
from quantbench.results.rank import rank
from quantbench.results.tables import results_table


def trial(gradient, seed, value, bits=6, codes=64, status="completed", quantizer="vq"):
    return {
        "trial": f"{quantizer}-{gradient}-{bits}-{codes}-{seed}",
        "experiment": "test",
        "status": status,
        "seed": seed,
        "simulator": "gaussian",
        "codec": "mlp",
        "quantizer": quantizer,
        "gradient": gradient,
        "simulator.bits": bits,
        "quantizer.codes": codes,
        "nmse_db": value,
        "usage": 0.5,
        "rate_bits": None if status == "failed" else float(np.log2(codes)),
        "spent_bits": None if status == "failed" else 0.9 * float(np.log2(codes)),
    }


def table(trials, settings=("simulator.bits", "quantizer.codes")):
    return results_table(list(trials), list(settings))


def framed(trials, metric="nmse_db", settings=("simulator.bits", "quantizer.codes"), sizes=None, goal=True, **options):
    return frame(of_table(table(trials, settings), sizes), metric, goal=goal, **options)


def rankings(trials, metric="nmse_db", over="seeds", failures="worst", **options):
    return rank(framed(trials, metric, **options), over, failures)


def rate_trials(offset, failing=()):
    for name, worse in (("ste", 0.0), ("mste", offset)):
        for codes in (4, 16, 64, 256):
            for seed in range(3):
                status = "failed" if (name, codes, seed) in failing else "completed"
                bits = np.log2(codes)
                yield trial(name, seed, -6.02 * bits + worse + 0.01 * seed, codes=codes, status=status)


def ranking(trials, metric="nmse_db", **options):
    (found,) = rankings(trials, metric, **options)
    return found


def grid(means, tasks=(6, 8), seeds=5, spread=0.1):
    generator = np.random.default_rng(3)
    shared = {(task, seed): generator.normal() for task in tasks for seed in range(seeds)}
    return [
        trial(gradient, seed, mean + shared[task, seed] + spread * generator.normal(), bits=task)
        for gradient, mean in means.items()
        for task in tasks
        for seed in range(seeds)
    ]
