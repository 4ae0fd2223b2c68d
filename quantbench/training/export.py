"""Reconstructions to listen to, and the weights that made them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch

from quantbench.files import replace_file, writing
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

    The clips are spread over the evaluation's; ``export/target`` holds them as they should be. Raises NotWritten.
    """
    from safetensors.torch import save as to_bytes

    stack = model.stack
    rate = stack.simulator.waveform_rate
    if rate is not None:
        clips = held_out.spread(CLIPS)
        latents = model.prepare(model.encode(clips))
        output = model.decode(model.hard(latents, Moment(1.0, streams, "evaluation noise", training=False)).values, clips)
        _write(clips.target[0], rate, folder / FOLDER / "target")
    for trial, name in enumerate(stack.names):
        place = folder / FOLDER / name
        parts = (("codec", model.codec), ("quantizer", model.quantizer))
        weights = {f"{part}.{key}": value[trial].detach().clone() for part, state in parts for key, value in state.items()}
        about = {"configuration": json.dumps(configuration(stack, trial))}
        _put(to_bytes({key: value.contiguous() for key, value in weights.items()}, about), place / "weights.safetensors")
        if rate is not None:
            _write(output[trial], rate, place)


def _write(waveforms: torch.Tensor, rate: int, folder: Path) -> None:
    import soundfile

    for number, waveform in enumerate(waveforms.nan_to_num().clamp(-1, 1).cpu().numpy()):
        clip = io.BytesIO()
        soundfile.write(clip, waveform, rate, format="FLAC")
        _put(clip.getvalue(), folder / f"clip-{number}.flac")


def _put(content: bytes, path: Path) -> None:
    """Write a file in one step, alone or beside a worker that writes the same. Raises NotWritten."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write(content), binary=True, durable=False, shared=True)
