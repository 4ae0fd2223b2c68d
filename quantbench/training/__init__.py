"""Trains stacks of codecs and measures them."""

from quantbench.training.keep import NOTHING, Keep
from quantbench.training.settings import TrainSettings
from quantbench.training.stack import Outcome, Stack
from quantbench.training.trainer import train

__all__ = ["NOTHING", "Keep", "Outcome", "Stack", "TrainSettings", "train"]
