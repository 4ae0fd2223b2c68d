"""What codecs are trained to keep small."""

from quantbench.losses.adversarial import AdversarialAudio
from quantbench.losses.audio import Audio
from quantbench.losses.base import MSE, Loss

__all__ = ["MSE", "AdversarialAudio", "Audio", "Loss"]
