"""Trains stacks of codecs and measures them."""

from quantbench.training.keep import NOTHING, Keep
from quantbench.training.run import train
from quantbench.training.settings import TrainSettings
from quantbench.training.stack import Outcome, Stack

__all__ = ["NOTHING", "Keep", "Outcome", "Stack", "TrainSettings", "train"]
