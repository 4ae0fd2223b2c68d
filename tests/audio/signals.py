"""Signals like speech: harmonics of a moving pitch, in syllables with pauses."""

import numpy as np


def speech(seconds: float, sample_rate: int = 16000, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voiced = sum(np.sin(k * phase + k) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + 0.3), 0, None)
    waveform = syllables * (voiced + 0.3 * generator.standard_normal(len(time)))
    return (0.1 * waveform).astype(np.float32)
