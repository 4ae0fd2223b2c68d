"""Writes the experiments of the verdict: methods at equal rates, tasks, and the two tasks that are drawn by a fixed seed.

With --check, says whether the files are up to date instead.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "configs" / "experiment"
SEED = 23
"""Of the drawn tasks. They were drawn once, after the search spaces were fixed."""
RATES = (4, 8)
SOURCES = ("codeword", "rotation", "gaussian", "laplace", "uniform", "gauss_markov", "banana", "sawbridge")
SMALL_SOURCES = ("codeword", "gauss_markov", "banana")
"""A finite alphabet, a source with memory, a bent one."""
SMALL_SEEDS, SMALL_STEPS = 12, 800
"""Wilcoxon's test with Holm's adjustment tells no two of ten methods apart with fewer than 11 seeds; one more leaves room for a
seed that is at odds with the others. Steps are as many as two cores take in 20 minutes."""

POOL = {
    "codeword": {"bits": (6, 8, 10), "frame_dim": (4, 8, 16), "nuisance": (0.0, 0.1)},
    "rotation": {"bits": (4, 6, 8), "frame_dim": (2, 4, 8)},
    "gaussian": {"frame_dim": (2, 4, 8)},
    "laplace": {"frame_dim": (2, 4, 8)},
    "uniform": {"frame_dim": (2, 4, 8)},
    "gauss_markov": {"frame_dim": (4, 8, 16), "correlation": (0.5, 0.8, 0.95, 0.99)},
    "sawbridge": {"frame_dim": (63, 255, 1023)},
}
"""Sources and their parameters, of which tasks are drawn; rates are 4 to 10 bits."""

SMALL = (
    "vq ste",
    "vq mste",
    "vq rotation",
    "vq diveq",
    "simvq ste",
    "fsq ste",
    "fsq noise_ste_mix",
    "lfq ste",
    "rvq ste",
    "rfsq ste",
)
METHODS = (
    *(
        "vq ste",
        "vq mste",
        "vq rotation",
        "vq diveq",
        "vq nsvq",
        "vq synchronised",
        "vq ibq",
        "vq vp_small",
        "simvq ste",
        "optvq ste",
    ),
    *("fsq ste", "fsq noise_ste_mix", "scalar additive_noise", "lsq ste", "cdf fsp", "lfq ste"),
    *("rvq ste", "rvq rotation", "rfsq ste", "robust_rfsq ste"),
)
"""Quantizer and strategy: of the vector, the scalar and the residual family."""


def sizes(quantizer: str, bits: int) -> dict[str, object]:
    """Settings with which a quantizer spends so many bits a frame, an even number."""
    if quantizer in ("vq", "simvq", "optvq"):
        return {"quantizer.codes": 2**bits}
    if quantizer in ("fsq", "lsq", "cdf", "scalar"):
        return {"quantizer.levels": 4, "codec.latent_dim": bits // 2}
    if quantizer == "lfq":
        return {"codec.latent_dim": bits}
    if quantizer == "rvq":
        return {"quantizer.stages": 2, "quantizer.stage.codes": 2 ** (bits // 2)}
    inner = "stage.part" if quantizer == "robust_rfsq" else "stage"
    return {"quantizer.stages": 2, f"quantizer.{inner}.levels": 2, "codec.latent_dim": bits // 2}


def points(methods: tuple[str, ...], bits: int, **source: object) -> list[str]:
    """A line of YAML a method at a rate."""
    found = []
    for name in methods:
        quantizer, gradient = name.split()
        point = source | {"quantizer": quantizer, "gradient": gradient} | sizes(quantizer, bits)
        found.append(f"      - {{{', '.join(f'{key}: {value}' for key, value in point.items())}}}")
    return found


def drawn() -> list[tuple[dict[str, object], int]]:
    """Two tasks: the source with its parameters, and the rate."""
    generator = random.Random(SEED)
    found = []
    for name in generator.sample(sorted(POOL), 2):
        values = {f"simulator.{key}": generator.choice(some) for key, some in POOL[name].items()}
        found.append(({"simulator": name} | values, generator.choice((4, 6, 8, 10))))
    return found


def experiment(name: str, words: str, steps: int, lines: list[str], params: list[str]) -> str:
    """The file of an experiment."""
    return "\n".join(
        [
            "# @package _global_",
            f"# {words} (made by scripts/verdict.py; for quantbench tune).",
            f"experiment: {name}",
            "codec:",
            "  hidden: 32",
            "train:",
            f"  steps: {steps}",
            "  batch: 128",
            f"  log_every: {steps}",
            "references: false",
            "hydra:",
            "  mode: MULTIRUN",
            "  sweeper:",
            "    points:",
            *lines,
            "    params:",
            *(f"      {line}" for line in params),
            "",
        ]
    )


def files() -> dict[str, str]:
    """Name and text of every experiment."""
    seeds = "seed: range(0,5)"
    small = points(SMALL, 8)
    whole = [line for bits in RATES for line in (f"      # {bits} bits", *points(METHODS, bits))]
    tasks = [line for source, bits in drawn() for line in (f"      # {bits} bits", *points(METHODS, bits, **source))]
    return {
        "verdict_small": experiment(
            "verdict_small",
            "The verdict on ten methods at 8 bits, one task a family of sources",
            SMALL_STEPS,
            small,
            [f"simulator: {','.join(SMALL_SOURCES)}", f"seed: range(0,{SMALL_SEEDS})"],
        ),
        "verdict": experiment(
            "verdict",
            "The verdict: twenty methods of three families, eight sources at 4 and 8 bits",
            2000,
            whole,
            [f"simulator: {','.join(SOURCES)}", seeds],
        ),
        "verdict_drawn": experiment(
            "verdict_drawn", "The methods of the verdict on two tasks that were drawn at random", 2000, tasks, [seeds]
        ),
    }


def main() -> int:
    """Write or check the files."""
    stale = 0
    for name, text in files().items():
        path = FOLDER / f"{name}.yaml"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                print(f"{path} is out of date; run python scripts/verdict.py", file=sys.stderr)
                stale = 1
        else:
            path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main())
