"""Finds out, by running a module once, how it takes latents, and which of its outputs is which."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import modules
from quantbench.errors import ConfigError
from quantbench.named import built, module_class, said
from quantbench.quantizers.outputs import Layout, Outputs, Place, at

FRAMES, OTHER = 29, 31
"""Latents with which a module is tried: no length of another axis, so that axes can be told apart."""
LAYOUTS: dict[str, tuple[bool, Layout]] = {
    "(1, frames, dim)": (False, None),
    "(1, dim, frames)": (True, None),
    "(1, dim, height, width)": (False, "image"),
    "(frames, dim)": (False, "rows"),
}
"""Ways in which a module may take latents, in words, and the settings of ``External`` that say so."""
VALUES = ("quantized", "quantised", "z_q", "zq", "quant", "values", "output", "x_q")
CODES = ("indices", "codes", "index", "ids", "tokens", "encoding")
LOSSES = ("loss", "commit", "aux", "penalty")
NUMBERS = ("codebook_size", "num_codes", "n_codes", "num_embeddings", "n_embed", "n_embeddings", "n_e", "codes", "K", "size")
"""Attributes, and arguments, by which such modules tell how many codes they have."""


@dataclass(frozen=True)
class Understood:
    """How to use a module as a quantizer, as settings of ``External``."""

    values_at: Place
    codes_at: Place
    loss_at: tuple[Place, ...]
    channels_first: bool
    layout: Layout
    slots: tuple[int, ...]
    takes: str

    def __str__(self) -> str:
        codes = "x".join(map(str, self.slots)) if len({*self.slots}) > 1 else f"{self.slots[0]}"
        each = f"{len(self.slots)} of {codes}" if len(self.slots) > 1 else codes
        losses = " and ".join(f"output {place}" for place in self.loss_at) or "none"
        found = f"quantized: output {self.values_at}, codes: output {self.codes_at} ({each} values), loss: {losses}"
        return f"takes {self.takes}; {found}"


@dataclass(frozen=True)
class Asked:
    """What is known beforehand; None for what is to be found out."""

    values_at: Place | None
    codes_at: Place | None
    loss_at: tuple[Place, ...] | str | None
    channels_first: bool | None
    slots: tuple[int, ...] | None


def arguments_of(module: str, arguments: Any, dim: int) -> Any:
    """The arguments, with ``dim`` where the class must be told of it and nobody did."""
    import inspect

    given = dict(arguments or {})
    try:
        parameters = inspect.signature(module_class("quantizer.module", module)).parameters
    except ValueError:  # of a class written in C
        return given
    wanted = parameters.get("dim")
    return {"dim": dim, **given} if wanted is not None and wanted.default is wanted.empty and "dim" not in given else given


@lru_cache(maxsize=64)
def understood(path: str, arguments: str, dim: int, asked: Asked) -> Understood:
    """How to use a module on latents of ``dim`` dimensions. Raises ConfigError with what it gives."""
    given = json.loads(arguments)

    def build() -> nn.Module:
        with modules.seeded(0):
            module: nn.Module = built(module_class("quantizer.module", path), given, "quantizer.arguments", path)
        return module

    build()
    reasons = []
    for takes, (first, layout) in LAYOUTS.items():
        if asked.channels_first is not None and asked.channels_first != (first or layout == "image"):
            continue
        try:
            return _in_layout(path, build, given, dim, asked, takes)
        except ConfigError as error:
            reasons.append(f"{takes}: {error}")
    tried = "; ".join(reasons)
    raise ConfigError(f"quantizer.module={path}: could not be used as a quantizer of {dim} dimensions. {tried}")


def _in_layout(
    path: str, build: Callable[[], nn.Module], given: Mapping[str, Any], dim: int, asked: Asked, takes: str
) -> Understood:
    """The same, if it takes latents in this way. Raises ConfigError."""
    first, layout = LAYOUTS[takes]
    frames = OTHER if dim == FRAMES else FRAMES
    latents = torch.randn(frames, dim, generator=torch.Generator().manual_seed(0)).requires_grad_()
    taken = Outputs(0, 1, "none", first, (2,), layout).input(latents)
    module = build().train()
    try:
        with torch.enable_grad(), modules.seeded(0):
            result = module(taken)
    except Exception as error:
        raise ConfigError(f"fails ({said(error)})") from error
    outputs = dict(_tensors(result))
    told = ", ".join(f"{place}: {tuple(one.shape)} {str(one.dtype).removeprefix('torch.')}" for place, one in outputs.items())
    values = _values(outputs, taken, asked)
    if values is None:
        raise ConfigError(
            f"no output has the shape {tuple(taken.shape)} of the latents, as what is quantized must; it gives {told}"
        )
    codes = _codes(outputs, frames, values, asked)
    if codes is None:
        raise ConfigError(
            f"no output holds one integer for each of {frames} latents; name it by quantizer.codes_at. It gives {told}"
        )
    indices = outputs[codes] if codes in outputs else at(result, codes)
    count = indices.numel() // frames
    slots = asked.slots or _slots(module, given, count, int(indices.max()), path)
    return Understood(values, codes, _losses(outputs, count, values, asked), first, layout, slots, takes)


def _tensors(result: Any, within: str = "", depth: int = 0) -> Iterator[tuple[Place, Tensor]]:
    """Every tensor in what a module gives, by its place."""
    if isinstance(result, Tensor):
        if not within:
            raise ConfigError(f"it gives one tensor {tuple(result.shape)} alone; must give a tuple, or a mapping, with codes")
        yield (int(within) if within.isdecimal() else within), result
    elif isinstance(result, Mapping) or (hasattr(result, "__dict__") and not isinstance(result, Sequence)):
        for name, one in (result if isinstance(result, Mapping) else vars(result)).items():
            yield from _tensors(one, f"{within}.{name}" if within else str(name), depth + 1)
    elif hasattr(result, "_fields"):
        for name in result._fields:
            yield from _tensors(getattr(result, name), f"{within}.{name}" if within else name, depth + 1)
    elif isinstance(result, Sequence) and not isinstance(result, str):
        for number, one in enumerate(result):
            yield from _tensors(one, f"{within}.{number}" if within else str(number), depth + 1)


def _values(outputs: Mapping[Place, Tensor], taken: Tensor, asked: Asked) -> Place | None:
    """What is quantized: of the latents' shape; named so, or the first that is not the latents themselves."""
    if asked.values_at is not None:
        return asked.values_at
    fitting = [place for place, one in outputs.items() if one.shape == taken.shape and one.is_floating_point()]
    changed = [place for place in fitting if not torch.equal(outputs[place], taken)] or fitting
    return next((place for place in changed if _named(place, VALUES)), changed[0] if changed else None)


def _codes(outputs: Mapping[Place, Tensor], frames: int, values: Place, asked: Asked) -> Place | None:
    """The codes: whole numbers, of which there are as many for every latent; named so, or integers before others."""
    if asked.codes_at is not None:
        return asked.codes_at
    fitting = []
    for place, one in outputs.items():
        whole = not one.is_floating_point() and one.dtype != torch.bool and not one.is_complex()
        counts = (
            one.is_floating_point() and bool((one == one.round()).all()) and one.numel() == frames and bool((one >= 0).all())
        )
        if place != values and one.numel() and one.numel() % frames == 0 and frames in one.shape and (whole or counts):
            fitting.append((not _named(place, CODES), not whole, place))
    return min(fitting, key=lambda one: one[:2])[2] if fitting else None


def _losses(outputs: Mapping[Place, Tensor], slots: int, values: Place, asked: Asked) -> tuple[Place, ...]:
    """What is to be kept small: numbers that depend on the latents or on weights; where one is called ``loss``, that alone."""
    if asked.loss_at is not None:
        return asked.loss_at if isinstance(asked.loss_at, tuple) else ()
    fitting = [
        place
        for place, one in outputs.items()
        if place != values and one.is_floating_point() and one.numel() in (1, slots) and one.requires_grad
    ]
    whole = [place for place in fitting if str(place).rpartition(".")[2] in ("loss", "total_loss")]
    return tuple(whole[:1] or [place for place in fitting if _named(place, LOSSES)] or fitting)


def _named(place: Place, words: Sequence[str]) -> bool:
    return any(word in str(place).rpartition(".")[2].lower() for word in words)


def _slots(module: nn.Module, given: Mapping[str, Any], count: int, largest: int, path: str) -> tuple[int, ...]:
    """Number of codes of each slot, as the module tells. Raises ConfigError where it does not."""
    for number in _numbers(module, given, count):
        sizes = tuple(number) if isinstance(number, Sequence) else (number,) * count
        if len(sizes) == count and min(sizes) > max(1, largest if len({*sizes}) == 1 else 1):
            return sizes
    raise ConfigError(
        f"it is not clear how many codes there are (the largest seen is {largest}); say so by quantizer.slots="
        f"[{','.join(['256'] * count)}], a number for each code of a latent"
    )


def _numbers(module: nn.Module, given: Mapping[str, Any], count: int) -> Iterator[Any]:
    """Candidates, the surest first."""
    for one in (module, *module.children()):
        for name in NUMBERS:
            found = getattr(one, name, None)
            if type(found) is int or (isinstance(found, list | tuple) and found and all(type(size) is int for size in found)):
                yield found
    for one in module.modules():
        if isinstance(one, nn.Embedding):
            yield one.num_embeddings
    yield from (given[name] for name in NUMBERS if type(given.get(name)) is int)
    for name, tensor in modules.tensors(module).items():
        if tensor.dim() > 1 and any(word in name.lower() for word in ("codebook", "embed", "codes", "centroid")):
            yield tensor.shape[-2]
