"""The warm start: weights of a codec that was trained without quantization, made once and shared by all that need them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantbench.components import Component, State, joined
from quantbench.files import replace_file, writing
from quantbench.gradients import STE
from quantbench.quantizers import Identity
from quantbench.terminal import say
from quantbench.training.configuration import PARTS, configuration
from quantbench.training.stack import Stack
from quantbench.training.trainer import Training

Weights = dict[str, Tensor]
"""Of one trial's codec, without a trial axis."""

FOLDER = "warm_start"
MOST_KEPT = 8
_kept: dict[str, Weights] = {}
"""The last ones of this process, where there is no folder to keep them in."""


def unquantized(stack: Stack) -> Stack:
    """The same trials without quantization, for as many steps as the warm start has."""
    steps, lr_end = stack.train.warm_start, torch.ones_like(stack.train.lr_end)
    train = replace(stack.train, steps=steps, log_every=steps, warm_start=0, lr_end=lr_end)
    quantizer = joined([Identity()] * len(stack.seeds), stack.device)
    return replace(stack, quantizer=quantizer, gradient=STE(), train=train)


def warm_weights(stack: Stack, folder: Path | None) -> State:
    """Weights of every trial's codec after its warm start, trial axis first.

    Trials with the same source, codec, loss, optimizer settings and seed share one; another process of the same run that
    needs it waits for it.

    Args:
        folder: of the run; None to keep weights in this process only.
    """
    keys = [_key(stack, trial) for trial in range(len(stack.seeds))]
    first: dict[str, int] = {}
    for trial, key in enumerate(keys):
        first.setdefault(key, trial)
    with _locked(folder, sorted(first)):
        found = {key: _load(folder, key, stack.device) for key in first}
        missing = [key for key in first if found[key] is None]
        if missing:
            trained = _train(part(stack, [first[key] for key in missing]))
            for place, key in enumerate(missing):
                found[key] = {name: tensor[place].detach().clone() for name, tensor in trained.items()}
                _store(folder, key, found[key])  # type: ignore[arg-type]
    every: list[Weights] = [found[key] for key in keys]  # type: ignore[misc]
    return {name: torch.stack([weights[name] for weights in every]) for name in every[0]}


def _train(stack: Stack) -> State:
    """The weights of codecs trained without quantization, on frames of their own."""
    plain = unquantized(stack)  # which the fused kernel does not know, as nobody needs to be told
    training = Training(replace(plain, train=replace(plain.train, fused="off")), purpose="warm start")
    training.advance()
    return training.model.codec


def part(stack: Stack, trials: Sequence[int]) -> Stack:
    """Some of a stack's trials."""
    index = torch.tensor(list(trials), device=stack.device)
    parts: dict[str, Any] = {name: _part(getattr(stack, name), index) for name in PARTS}
    names = tuple(stack.names[i] for i in trials) if stack.names else ()
    return replace(stack, **parts, seeds=tuple(stack.seeds[i] for i in trials), names=names)


def _part(one: Component, index: Tensor) -> Component:
    values = {field.name: getattr(one, field.name) for field in fields(one)}
    changed = {
        name: value[index] if isinstance(value, Tensor) else _part(value, index)
        for name, value in values.items()
        if isinstance(value, Tensor | Component)
    }
    return replace(one, **changed)


def _key(stack: Stack, trial: int) -> str:
    """Everything on which a trial's warm weights depend, hashed."""
    return hashlib.sha256(json.dumps(configuration(unquantized(stack), trial)).encode()).hexdigest()[:16]


def _file(folder: Path, key: str) -> Path:
    return folder / FOLDER / f"{key}.safetensors"


def _load(folder: Path | None, key: str, device: torch.device) -> Weights | None:
    if folder is None:
        return _kept.get(key)
    if not _file(folder, key).exists():
        return None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(_file(folder, key), device=str(device))
    except SafetensorError as error:
        say(f"{_file(folder, key)}: is damaged ({error}); it is trained again", error=True)
        return None


def _store(folder: Path | None, key: str, weights: Weights) -> None:
    if folder is None:
        while len(_kept) >= MOST_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = weights
        return
    from safetensors.torch import save as to_bytes

    content = to_bytes({name: tensor.contiguous() for name, tensor in weights.items()})
    with writing(_file(folder, key)):
        replace_file(_file(folder, key), lambda opened: opened.write(content), binary=True, durable=False)


@contextlib.contextmanager
def _locked(folder: Path | None, keys: Sequence[str]) -> Iterator[None]:
    """Alone with these weights among all processes of the run; always locked in the same order, so that none waits in vain."""
    with contextlib.ExitStack() as held:
        if folder is not None:
            with writing(folder / FOLDER):
                (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            for key in keys:
                place = _file(folder, key).with_suffix(".lock")
                with writing(place):
                    lock = held.enter_context(place.open("a"))  # a second name of another file is not emptied
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
