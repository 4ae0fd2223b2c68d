"""What a report of 10,000 trials and a million points of curves costs: to make, on disk, to open and to use.

    python scripts/benchmarks/report.py [--trials 10000] [--steps 20]

Opened in Chromium (scripts/install_chromium.sh). A made-up sweep in two shapes: few methods with many trials, and very many
methods of five seeds. `used` is how long a page takes to answer: another metric, a sorted table, a filter, a selected trial.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

from quantbench.results.report import report
from quantbench.results.tables import results_table

METRICS = ("mse", "nmse_db", "entropy_bits", "perplexity", "usage", "encoder_growth", "gap_db", "limit_mse", "seconds")
CURVES = ("mse", "encoder_std", "quantization_error", "usage", "loss")
GRADIENTS = ("ste", "mste", "noise", "nsvq", "rotation", "diveq")
QUIET = ["--no-sandbox", "--disable-background-networking"]


def made_up(folder: Path, trials: int, steps: int, methods: int) -> None:
    """A run of so many trials, one in fifty of which diverged, with ``steps`` points of each of five curves."""
    generator = np.random.default_rng(0)
    values = generator.lognormal(size=(trials, len(METRICS)))
    fixed = {"experiment": "made_up", "simulator": "codeword", "codec": "mlp", "quantizer": "vq", "rate_bits": 8.0}
    names = [f"{place:012x}" for place in range(trials)]
    rows = []
    for place in range(trials):
        method, seed = place % methods, place // methods
        own = {"trial": names[place], "seed": seed, "gradient": GRADIENTS[method % len(GRADIENTS)]}
        own |= {"gradient.scale": float(method // len(GRADIENTS)), "spent_bits": 8 - method % 7 * 0.3}
        bad = place % 50 == 49
        found = {} if bad else dict(zip(METRICS, values[place].tolist(), strict=True))
        rows.append(fixed | own | found | {"status": "diverged" if bad else "completed"})
    results_table(rows, ["gradient.scale"]).to_csv(folder / "results.csv", index=False)
    every = len(CURVES) * steps
    table = {"trial": np.repeat(names, every), "step": np.tile(np.arange(steps) * 200, trials * len(CURVES))}
    table |= {"metric": np.tile(np.repeat(CURVES, steps), trials), "value": generator.lognormal(size=trials * every)}
    pd.DataFrame(table).to_csv(folder / "curves.csv", index=False)


def used(page: Page) -> dict[str, float]:
    """Milliseconds until the page has answered and painted."""
    actions = {
        "metric": "change(at('metric'), 'usage')",
        "each trial off": "at('each').checked && at('each').click()",
        "sort": "at('trial-table').querySelector('[data-column=nmse_db]').click()",
        "filter": "at('status').value = 'diverged'; at('status').dispatchEvent(new Event('change'))",
        "select": "at('trial-table').querySelector('button.trial').click()",
    }
    helpers = "const at = id => document.getElementById(id); "
    helpers += (
        "const change = (one, value) => { one.value = value; one.dispatchEvent(new Event('change', {bubbles: true})); }; "
    )
    painted = "await new Promise(done => requestAnimationFrame(() => setTimeout(done)));"
    timed = "async () => {{ {} const began = performance.now(); {}; {} return performance.now() - began; }}"
    return {name: page.evaluate(timed.format(helpers, action, painted)) for name, action in actions.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=20, help="points of each of five curves of a trial (20)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for methods in (6, arguments.trials // 5):
            folder = Path(name) / str(methods)
            folder.mkdir()
            made_up(folder, arguments.trials, arguments.steps, methods)
            began = time.perf_counter()
            report([folder], folder / "report.html")
            made = time.perf_counter() - began
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.perf_counter()
            page.goto((folder / "report.html").as_uri(), wait_until="commit")
            page.wait_for_selector("#findings li")
            read = time.perf_counter() - began
            page.wait_for_selector("html[data-ready]", timeout=120_000)
            ready = time.perf_counter() - began
            size = (folder / "report.html").stat().st_size / 1e6
            points = arguments.trials * arguments.steps * len(CURVES)
            print(f"{arguments.trials:,} trials of {methods:,} methods, {points:,} points of curves: {size:.1f} MB")
            print(f"  made in {made:.1f} s; findings can be read after {read:.1f} s, usable after {ready:.1f} s")
            print("  used: " + ", ".join(f"{name} {value:.0f} ms" for name, value in used(page).items()), flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
