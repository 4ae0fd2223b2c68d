"""`quantbench audit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import FORMATS, finite


def add(commands: Any) -> None:
    audit = commands.add_parser(
        "audit",
        help="compare each strategy's gradient with the true one: quantbench audit quantizer=vq gradient=ste,mste",
        description="Audits all pairs that fit, or those of the choices given, on a small problem.",
    )
    audit.add_argument("overrides", nargs="*", help="as for run: GROUP=CHOICE,CHOICE or GROUP.SETTING=VALUE")
    audit.add_argument("--seeds", type=int, help="number of seeds (3)")
    audit.add_argument(
        "--sigma", type=widths, help="widths of the smoothing, in quantization errors (0.1,0.25,0.5,1,2)", metavar="WIDTH,WIDTH"
    )
    audit.add_argument("--cosines", action="store_true", help="print the cosines in the place of verdicts")
    audit.add_argument("--config-dir", type=Path, help="a folder with choices of your own")
    audit.add_argument("--output", help="folder of all results (outputs)")
    audit.add_argument("--name", help="of this audit's folder there, a new one (its time)")
    audit.add_argument("--format", default="table", choices=FORMATS)
    audit.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.sweeps.audit import Form, run_audit
    from quantbench.training.fidelity import FidelitySettings

    settings = FidelitySettings() if arguments.sigma is None else FidelitySettings(sigmas=arguments.sigma)
    task = (arguments.overrides, arguments.seeds, arguments.config_dir, settings)
    form = Form(arguments.format, arguments.cosines)
    return 0 if run_audit(*task, arguments.output, form, arguments.name) else 1


def widths(words: str) -> tuple[float, ...]:
    """Numbers between commas."""
    return tuple(finite(word) for word in words.split(","))
