"""Reconstructions to listen to, and the weights that made them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from quantbench.gradients import Moment
from quantbench.simulators import Frames
from quantbench.streams import Streams
from quantbench.training.configuration import configuration
from quantbench.training.model import Model

FOLDER = "export"
CLIPS = 8
"""Waveforms that are written for each trial."""


@torch.no_grad()
def export(model: Model, held_out: Frames, streams: Streams, folder: Path) -> None:
    """Write every trial's weights, and for waveforms ``CLIPS`` clips as FLAC with their targets beside them.

    The clips are spread over the evaluation's; ``export/target`` holds them as they should be.
    """
    from safetensors.torch import save_file

    stack = model.stack
    rate = stack.simulator.waveform_rate
    if rate is not None:
        clips = held_out.spread(CLIPS)
        latents = model.prepare(model.encode(clips))
        output = model.decode(model.hard(latents, Moment(1.0, streams, "evaluation noise", training=False)).values, clips)
        _write(clips.target[0], rate, folder / FOLDER / "target")
    for trial, name in enumerate(stack.names):
        place = folder / FOLDER / name
        place.mkdir(parents=True, exist_ok=True)
        parts = (("codec", model.codec), ("quantizer", model.quantizer))
        weights = {f"{part}.{key}": value[trial].detach().clone() for part, state in parts for key, value in state.items()}
        save_file(weights, place / "weights.safetensors", {"configuration": json.dumps(configuration(stack, trial))})
        if rate is not None:
            _write(output[trial], rate, place)


def _write(waveforms: torch.Tensor, rate: int, folder: Path) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for number, waveform in enumerate(waveforms.nan_to_num().clamp(-1, 1).cpu().numpy()):
        soundfile.write(folder / f"clip-{number}.flac", waveform, rate)
