"""Sources of frames with a known number of bits."""

from quantbench.simulators.array import Array
from quantbench.simulators.audio import Audio
from quantbench.simulators.audio_frames import AudioFrames
from quantbench.simulators.base import Frames, Simulator
from quantbench.simulators.codeword import Codeword
from quantbench.simulators.continuous import Gaussian, GaussMarkov, Laplace, Memoryless, Uniform
from quantbench.simulators.images import Images
from quantbench.simulators.rotation import Rotation
from quantbench.simulators.toy import Banana, Sawbridge

__all__ = [
    "Array",
    "Audio",
    "AudioFrames",
    "Banana",
    "Codeword",
    "Frames",
    "GaussMarkov",
    "Gaussian",
    "Images",
    "Laplace",
    "Memoryless",
    "Rotation",
    "Sawbridge",
    "Simulator",
    "Uniform",
]
