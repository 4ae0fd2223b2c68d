"""An interactive page of one or several runs: findings in words, plots, trials, comparisons."""

from quantbench.results.report.page import report

__all__ = ["report"]
