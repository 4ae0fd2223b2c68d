"""The bottleneck of a codec as a module of PyTorch: what a stack trains, for one trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from quantbench.components import joined
from quantbench.errors import ConfigError, QuantBenchError
from quantbench.gradients import Gradient, Moment
from quantbench.gradients.acting import Strategy, asked
from quantbench.nn import peers, ranks
from quantbench.nn.choose import chosen
from quantbench.nn.clock import UNKNOWN
from quantbench.nn.random import TorchStreams
from quantbench.nn.tensors import Tensors, copied
from quantbench.quantizers import Quantizer, by_means
from quantbench.quantizers.base import Trace
from quantbench.streams import Streams

FrameLoss = Callable[[Tensor], Tensor]

REPEATED = 0.01
"""Noise of latents that a start from data must take again, as there are too few, in standard deviations of their dimension:
equal codewords would never part."""


@dataclass(frozen=True)
class _Layout:
    """How latents lie in what a bottleneck is given.

    Attributes:
        shape: with the dimensions last.
        mask: which latents count, (latents,); None where all do.
        item: latents in a row that belong together.
    """

    shape: torch.Size
    mask: Tensor | None
    item: int
    channel_first: bool

    def back(self, values: Tensor, rest: float = 0) -> Tensor:
        """Values (1, latents, numbers) as (..., numbers), ``rest`` where the mask is not set."""
        flat = values.squeeze(0)
        if self.mask is not None:
            whole = flat.new_full((len(self.mask), flat.shape[-1]), rest)
            flat = whole.masked_scatter(self.mask.unsqueeze(1), flat)
        return flat.reshape(*self.shape[:-1], flat.shape[-1])

    def values(self, values: Tensor) -> Tensor:
        """Values of latents where the input has its own."""
        found = self.back(values)
        return found.movedim(-1, 1) if self.channel_first else found


class Bottleneck(nn.Module):
    """A quantizer and the strategy that passes its gradient, as on QuantBench's command line.

    ``quantized, indices, loss = bottleneck(x)``. The components are those that train a stack, with one trial, so that all
    tensors of the state have a first axis of length 1. What a quantizer changes by itself (moving averages, restarts) it
    changes in a forward pass while training, once the code is made; a stack does so after the optimizer's step. With several
    ranks of ``torch.distributed``, it does so with the latents of all of them, by random numbers of rank 0. All is computed in
    float32, within autocast too, and given back in the type of ``x``.

    The first batch of a training starts the codebook, where the quantizer starts from data. Evaluation gives hard codes,
    without gradient, and a loss of 0.

    Args:
        quantizer, gradient: names as on the command line, or components. Without a gradient, ``ste``, or the quantizer's own.
        dim: dimensions of latents.
        channel_first: whether latents come as (batch, dim, ...).
        features: numbers of the target for each latent, for the few quantizers that weigh a rate against a distortion.
        recommended: whether settings are what the authors of both recommend, and not the defaults, where these differ.
        settings: as on the command line; ``codes`` and ``stages`` alone, ``**{"gradient.share": 0.2}`` where a name is not
            clear. Defaults are those of the command line.

    Raises:
        ConfigError: no such choice or setting, a value that cannot be used, or parts that do not fit.
    """

    def __init__(
        self,
        quantizer: str | Quantizer = "vq",
        gradient: str | Gradient | None = None,
        *,
        dim: int,
        channel_first: bool = False,
        features: float = 1.0,
        recommended: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.quantizer, self.gradient = chosen(quantizer, gradient, settings, recommended)
        self.quantizer.check_dim(dim)
        self.dim, self.channel_first, self.features = dim, channel_first, features
        self.progress: float = UNKNOWN
        self.step = 0
        self.streams: Callable[[torch.device], Streams] = _default_streams
        self._joined: dict[torch.device, tuple[Quantizer, Gradient]] = {}
        device = torch.get_default_device()
        streams = self.streams(device)
        own, strategy = self._components(device)
        self.tensors = Tensors(own.init(streams, dim))
        latent = torch.zeros(1, 1, dim, device=device)
        state = self.tensors.state()
        kept, refits = asked(strategy, own, state, lambda: own.prepare(state, latent), streams)
        self.memories = nn.ModuleList(Tensors(memory) for memory in kept)
        self.refits = refits
        self.started: Tensor
        self.made: Tensor
        self.register_buffer("started", torch.tensor(self._needs_no_start()))
        self.register_buffer("made", torch.tensor(not refits))
        self._started = self._needs_no_start()

    @classmethod
    def like(cls, module: nn.Module) -> Bottleneck:
        """A bottleneck with method, settings and weights of a module of vector-quantize-pytorch (docs/nn.md has the table).

        Raises ConfigError where the module does what no method here does.
        """
        peer = peers.of(module)
        found = cls(peer.quantizer, peer.gradient, dim=peer.dim, channel_first=peer.channel_first)
        with torch.no_grad():
            peers.fill(found.tensors.state(), peer.state)
        if peer.started:
            found.begun()
        return found.train(module.training)

    @property
    def alphabet(self) -> list[int]:
        """Number of codes of every slot of ``indices``."""
        return self.quantizer.alphabet(self.dim)

    def extra_repr(self) -> str:
        return f"{type(self.quantizer).__name__}, {type(self.gradient).__name__}, dim={self.dim}"

    def at(self, step: int, of: int) -> None:
        """Say that the training is at a step (1 for the first) of so many; schedules follow. Raises ConfigError."""
        if not 1 <= step <= of:
            raise ConfigError(f"step={step}: must lie between 1 and of={of}")
        self.step, self.progress = step - 1, (step - 1) / max(1, of - 1)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self, x: Tensor, mask: Tensor | None = None, frame_loss: FrameLoss | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """What the decoder receives, the codes and the loss to add to one's own.

        Args:
            x: latents, (..., dim), or (batch, dim, ...) with ``channel_first``.
            mask: which of them count, (...); others are 0 in ``quantized`` and -1 in ``indices``.
            frame_loss: the distortion of each latent, (...), for what the decoder would receive, in the shape of ``x``; the few
                strategies that look at it say so where it is not given.

        Returns:
            quantized: in the shape of ``x``.
            indices: (..., slots), without the last axis where there is one slot; None where nothing is quantized.
            loss: a number.

        Raises:
            ConfigError: another shape than these, or too few latents.
            QuantBenchError: ``at`` must be called, or a codebook is not made yet.
        """
        with torch.autocast(x.device.type, enabled=False):
            frames, layout = self._frames(x, mask)
            if not frames.shape[1]:
                return self._nothing(x, layout)
            if self.training:
                values, indices, loss = self._train(frames, layout, frame_loss)
            else:
                with torch.no_grad():
                    values, indices = self._hard(frames)
                loss = frames.new_zeros(())
            return layout.values(values).to(x.dtype), self._out(indices, layout), loss

    @torch.no_grad()
    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The codes of latents, as ``forward`` gives them while evaluating."""
        with torch.autocast(x.device.type, enabled=False):
            frames, layout = self._frames(x, mask)
            indices = self._out(self._hard(frames, restore=False)[1], layout)
        if indices is None:
            raise QuantBenchError(f"quantizer={type(self.quantizer).__name__}: quantizes nothing, so there are no codes")
        return indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """The values of codes, in the shape of the latents; 0 where codes are -1.

        Raises:
            ConfigError: another shape than that of codes.
            QuantBenchError: the quantizer cannot decode codes, or a codebook is not made yet.
        """
        slots = len(self.alphabet)
        codes = indices.unsqueeze(-1) if slots == 1 else indices
        if not slots or codes.dim() < 1 or codes.shape[-1] != slots:
            raise ConfigError(
                f"indices of shape {tuple(indices.shape)}: must have {slots} slots, on the last axis where several"
            )
        self._check_made()
        quantizer, _ = self._components(indices.device)
        state, flat = self.tensors.state(), codes.reshape(1, -1, slots)
        try:
            values = quantizer.restore(state, quantizer.decode(state, flat.clamp_min(0)))
        except NotImplementedError as error:
            raise QuantBenchError(
                f"quantizer={type(self.quantizer).__name__}: its codes cannot be decoded ({error})"
            ) from error
        values = torch.where((flat < 0).any(-1, keepdim=True), 0.0, values)
        found = values.reshape(*codes.shape[:-1], self.dim)
        return found.movedim(-1, 1) if self.channel_first else found

    @torch.no_grad()
    def fit(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Start the codebook from latents, or make it of them where a strategy does not learn it (``vp``).

        The first batch of a training does the first by itself. Of all ranks' latents where there are several.
        """
        frames, _ = self._frames(x, mask)
        self._start(frames, by_means(self._components(frames.device)[0]) if self.refits else None)
        self.made.fill_(True)

    def begun(self) -> None:
        """Say that the state is one that was trained, and needs no start."""
        self.started.fill_(True)
        self.made.fill_(True)

    def get_extra_state(self) -> Tensor:
        """Step and progress; a progress that is not known is -1."""
        return torch.tensor([self.step, -1.0 if self.progress is UNKNOWN else self.progress], dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        step, progress = state.tolist()
        self.step, self.progress = int(step), UNKNOWN if progress < 0 else progress
        self._started = False  # what the buffer says counts

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_joined": {}, "progress": None if self.progress is UNKNOWN else self.progress}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.progress = UNKNOWN if self.progress is None else self.progress

    def _components(self, device: torch.device) -> tuple[Quantizer, Gradient]:
        """Quantizer and strategy as those of a stack of one trial."""
        if device not in self._joined:
            with torch.inference_mode(False):
                self._joined[device] = joined([self.quantizer], device), joined([self.gradient], device)
        return self._joined[device]

    def _needs_no_start(self) -> bool:
        return type(self.quantizer).fit is Quantizer.fit

    def _frames(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, _Layout]:
        """Latents as (1, latents, dim)."""
        if x.dim() < 2 or x.shape[1 if self.channel_first else -1] != self.dim:
            wanted = f"(batch, {self.dim}, ...)" if self.channel_first else f"(..., {self.dim}), of two axes at least"
            raise ConfigError(f"x of shape {tuple(x.shape)}: must have the shape {wanted}")
        last = x.movedim(1, -1) if self.channel_first else x
        frames = last.reshape(-1, self.dim).float()
        if mask is not None:
            if mask.shape != last.shape[:-1]:
                raise ConfigError(f"mask of shape {tuple(mask.shape)}: must have the shape {tuple(last.shape[:-1])}")
            mask = mask.reshape(-1).bool()
            frames = frames[mask]
        item = 1 if mask is not None else last.shape[1:-1].numel()
        return frames.unsqueeze(0), _Layout(last.shape, mask, item, self.channel_first)

    def _out(self, indices: Tensor | None, layout: _Layout) -> Tensor | None:
        if indices is None:
            return None
        found = layout.back(indices, rest=-1)
        return found.squeeze(-1) if found.shape[-1] == 1 else found

    def _nothing(self, x: Tensor, layout: _Layout) -> tuple[Tensor, Tensor | None, Tensor]:
        """Where no latent counts."""
        if self.training and self.quantizer.updates and ranks.several():
            raise QuantBenchError("a rank has no latent that counts: each needs one at every step, for the others wait for it")
        slots = len(self.alphabet)
        indices = torch.zeros(1, 0, slots, dtype=torch.long, device=x.device) if slots else None
        return torch.zeros_like(x), self._out(indices, layout), x.new_zeros((), dtype=torch.float32)

    def _hard(self, frames: Tensor, restore: bool = True) -> tuple[Tensor, Tensor | None]:
        self._check_made()
        quantizer, gradient = self._components(frames.device)
        state, streams = self.tensors.state(), self.streams(frames.device)
        moment = Moment(1.0, streams, "evaluation noise", training=False, features=self.features)
        code = gradient.hard(quantizer, state, quantizer.prepare(state, frames), moment)
        return quantizer.restore(state, code.values) if restore else code.values, code.indices

    def _check_made(self) -> None:
        if self.refits and not self.made:
            raise QuantBenchError(
                f"gradient={type(self.gradient).__name__} learns no codebook: call bottleneck.fit(latents) once it has "
                f"trained, with {self.refits} latents or more, before codes are asked for"
            )

    def _train(self, frames: Tensor, layout: _Layout, frame_loss: FrameLoss | None) -> tuple[Tensor, Tensor | None, Tensor]:
        self._check_latents(frames.shape[1])
        if not self._started:
            if not self.started:
                self._start(frames.detach())
            self._started = True
        quantizer, gradient = self._components(frames.device)
        self.step += 1
        held = self.tensors.state()
        state = copied(held) if quantizer.updates else held

        def loss_of(received: Tensor) -> Tensor:
            if frame_loss is None:
                raise QuantBenchError(
                    f"{self.extra_repr()}: looks at distortions while training; give forward(x, frame_loss=...), which "
                    f"maps what the decoder would receive, in the shape of x, to the distortion of each latent"
                )
            with torch.no_grad():
                each = frame_loss(layout.values(quantizer.restore(state, received))).reshape(1, -1)
            return each if layout.mask is None else each[:, layout.mask]

        streams = self.streams(frames.device)
        moment = Moment(self.progress, streams, frame_loss=loss_of, step=self.step, item=layout.item, features=self.features)
        if gradient.freezes_encoder(self.progress):
            frames = frames.detach()
        strategy = Strategy(gradient, moment, [memory.state() for memory in self._kept()])
        passed = quantizer.forward(state, quantizer.prepare(state, frames), strategy, moment)
        loss = sum(strategy.losses, start=torch.zeros_like(passed.loss) if self.refits else passed.loss)
        values = quantizer.restore(state, passed.received)
        if self.refits:
            self.made.fill_(False)
        if quantizer.updates:
            self._update(passed.trace, quantizer)
        return values, passed.code.indices, loss.squeeze(0)

    @torch.no_grad()
    def _update(self, trace: Trace, quantizer: Quantizer) -> None:
        """What the quantizer changes by itself, alike on all ranks."""
        trace = ranks.gathered_trace(trace)
        quantizer.update(self.tensors.state(), trace, self._common(trace[0][0].device), self.step)

    @torch.no_grad()
    def _start(self, frames: Tensor, maker: Quantizer | None = None) -> None:
        quantizer = maker or self._components(frames.device)[0]
        streams = self._common(frames.device)
        frames = ranks.gathered(frames)
        wanted = max(self.refits if maker else 0, quantizer.fit_frames(frames.shape[1]))
        if (missing := wanted - frames.shape[1]) > 0:
            again = frames.repeat(1, -(-missing // frames.shape[1]), 1)[:, :missing]
            noise = REPEATED * frames.std(1, keepdim=True, correction=0) * streams.normal("repeated", *again.shape[1:])
            frames = torch.cat([frames, again + noise], dim=1)
        quantizer.fit(self.tensors.state(), frames, streams)
        self.started.fill_(True)

    def _common(self, device: torch.device) -> Streams:
        """Random numbers that are alike on all ranks."""
        return cast(Streams, TorchStreams(device, lambda: ranks.common_seed(device)))

    def _kept(self) -> list[Tensors]:
        return [cast(Tensors, memory) for memory in self.memories]

    def _check_latents(self, latents: int) -> None:
        self.quantizer.check_latents(self.dim, latents)
        if latents < self.gradient.fewest_latents:
            raise ConfigError(
                f"{latents} latents: gradient={type(self.gradient).__name__} needs {self.gradient.fewest_latents} at every step"
            )


def _default_streams(device: torch.device) -> Streams:
    return cast(Streams, TorchStreams(device))
