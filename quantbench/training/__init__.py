"""Trains stacks of toy codecs and measures them."""

from quantbench.training.settings import TrainSettings
from quantbench.training.stack import Outcome, Stack
from quantbench.training.trainer import train

__all__ = ["Outcome", "Stack", "TrainSettings", "train"]
