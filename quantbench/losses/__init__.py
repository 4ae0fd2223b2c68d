"""What codecs are trained to keep small."""

from quantbench.losses.adversarial import Adversarial
from quantbench.losses.audio import Audio
from quantbench.losses.base import MSE, Loss
from quantbench.losses.function import Callable

__all__ = ["MSE", "Adversarial", "Audio", "Callable", "Loss"]
