"""What modules of the package vector-quantize-pytorch are here: components and state.

Read from their attributes (version 1.32), without an import of the package. What this project has no method for is refused by
name, for a module that looks alike and trains otherwise would be worse than none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from quantbench.components import State
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Gradient, RotationTrick
from quantbench.quantizers import FSQ, LFQ, Quantizer, Residual, SimVQ, VectorQuantizer


@dataclass(frozen=True)
class Peer:
    """A module as components.

    Attributes:
        state: without a trial axis.
        started: whether its codebook has started from data, or needs not to.
    """

    quantizer: Quantizer
    gradient: Gradient
    dim: int
    state: State
    started: bool = True
    channel_first: bool = False


def of(module: nn.Module) -> Peer:
    """Components and state of a module. Raises ConfigError where it does what no method here does."""
    read = READERS.get(type(module).__name__)
    if read is None or type(module).__module__.partition(".")[0] != "vector_quantize_pytorch":
        raise ConfigError(
            f"module={type(module).__name__}: must be one of vector-quantize-pytorch's {', '.join(READERS)}; of others only "
            f"their own class can compute"
        )
    return read(module)


def _plain(module: Any, **expected: Any) -> None:
    """Raise ConfigError unless attributes are as expected, where there are any of that name."""
    for name, usual in expected.items():
        found = getattr(module, name, usual)
        if found is not usual and found != usual:
            shown = found if isinstance(found, int | float | str) else type(found).__name__
            raise ConfigError(f"{type(module).__name__}.{name}={shown}: no method here does that; must be {usual}")


def _passing(module: Any) -> Gradient:
    return RotationTrick() if module.rotation_trick else STE()


def _vector(module: Any, shared: bool = False) -> Peer:
    book = module._codebook
    _plain(
        module,
        heads=1,
        has_codebook_orthogonal_loss=False,
        has_codebook_diversity_loss=False,
        commitment_use_cross_entropy_loss=False,
        directional_reparam=False,
        freeze_codebook=False,
        sync_update_v=0.0,
        in_place_codebook_optimizer=None,
        accept_image_fmap=False,
        accept_3d_fmap=False,
        return_zeros_for_masked_padding=True,
        route_gradients_to_input=True,
    )
    _plain(book, affine_param=False, vq_bridge=None, manual_ema_update=shared)
    for name in ("stochastic", "straight_through"):
        if book.gumbel_sample.keywords.get(name):
            raise ConfigError(f"VectorQuantize: {name} sampling of codes is no method here")
    if not (book.ema_update or book.learnable_codebook):
        raise ConfigError("VectorQuantize: has neither ema_update nor learnable_codebook, so that its codebook never moves")
    if module.has_projections and not _is_linear(module.project_in):
        raise ConfigError("VectorQuantize.layernorm_after_project_in: no method here does that")
    weight = float(module.commitment_weight)
    threshold, ema = book.threshold_ema_dead_code, bool(book.ema_update)
    state: State = {"codewords": book.embed[0]}
    if ema:
        state |= {"counts": book.cluster_size[0], "sums": book.embed_avg[0]}
    if threshold:
        state["usage"] = book.cluster_size[0]
    inner = book.embed.shape[-1]
    if module.has_projections:
        state |= _affine("inwards", _linear(module.project_in)) | _affine("outwards", module.project_out)
    quantizer = VectorQuantizer(
        codes=module.codebook_size,
        commitment=weight,
        codebook_weight=1.0 if ema else weight,
        search="cosine" if module.use_cosine_sim else "euclidean",
        update_by="ema" if ema else "gradient",
        decay=float(book.decay),
        smoothing=float(module.eps) if ema else 0.0,
        init_by="data" if bool(book.initted) else "kmeans",
        restart=float(threshold),
        restart_by="count",
        restart_every=1,
        projection=inner if module.has_projections else 0,
    )
    return Peer(quantizer, _passing(module), module.dim, state, bool(book.initted), not module.channel_last)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(_linear(module), nn.Linear)


def _linear(module: Any) -> Any:
    """A layer that may be alone in a row."""
    return module[0] if isinstance(module, nn.Sequential) and len(module) == 1 else module


def _affine(name: str, layer: Any) -> State:
    return {name: layer.weight.T, f"{name}_bias": layer.bias.unsqueeze(0)}


def _residual(module: Any) -> Peer:
    """A residual quantizer, whose gradient to the encoder is here that of one straight-through estimator over the sum.

    There it is so with ``quant_grad_frac=1``; with its default 0 it is as many times larger as there are stages.
    """
    _plain(
        module,
        has_projections=False,
        implicit_neural_codebook=False,
        diveq=False,
        uniform_codebook_size=True,
        quantize_dropout_cutoff_index=0,
        quantize_dropout_multiple_of=1,
        accept_image_fmap=False,
        eval_beam_size=module.beam_size,
    )
    shared = bool(module.shared_codebook)
    stages = [_vector(stage, shared) for stage in module.layers]
    states = stages[:1] if shared else stages
    first = stages[0]
    assert isinstance(first.quantizer, VectorQuantizer)
    quantizer = Residual(
        # All stages have the settings of one, but for what tells whether each has started.
        stage=replace(first.quantizer, init_by="data" if first.started else "kmeans"),
        stages=module.num_quantizers,
        shared=shared,
        beam=module.beam_size or 1,
        dropout=1.0 if module.quantize_dropout else 0.0,
    )
    state = {f"{number}.{name}": tensor for number, one in enumerate(states) for name, tensor in one.state.items()}
    return replace(first, quantizer=quantizer, state=state, started=all(one.started for one in stages))


def _finite(module: Any) -> Peer:
    _plain(
        module,
        num_codebooks=1,
        has_projections=False,
        preserve_symmetry=False,
        noise_dropout=0.0,
        bound_hard_clamp=False,
        orthogonal_rotation=False,
    )
    levels = tuple(int(count) for count in module._levels)
    return Peer(
        FSQ(levels=levels, shift="artanh", commitment=0.0), STE(), module.dim, {}, channel_first=bool(module.channel_first)
    )


def _lookup_free(module: Any) -> Peer:
    _plain(
        module,
        num_codebooks=1,
        has_projections=False,
        spherical=False,
        orthogonal_rotation=False,
        codebook_scale=1.0,
        soft_clamp_input_value=None,
        frac_per_sample_entropy=1.0,
        experimental_softplus_entropy_loss=False,
    )
    if not isinstance(module.activation, nn.Identity):
        raise ConfigError("LFQ.straight_through_activation: no method here has one; must be nn.Identity")
    quantizer = LFQ(
        commitment=float(module.commitment_loss_weight),
        entropy_weight=float(module.entropy_loss_weight),
        diversity=float(module.diversity_gamma),
        sharpness=100.0,  # its inv_temperature, which is no attribute
    )
    return Peer(quantizer, STE(), module.dim, {}, channel_first=bool(module.channel_first))


def _simple(module: Any) -> Peer:
    layer = module.code_transform
    if not isinstance(layer, nn.Linear) or layer.in_features != layer.out_features:
        raise ConfigError("SimVQ.codebook_transform: must be a linear layer between equal dimensions")
    weight = float(module.commitment_weight)
    quantizer = SimVQ(
        codes=module.codebook_size,
        commitment=weight * float(module.input_to_quantize_commit_loss_weight),
        codebook_weight=weight,
        bias=layer.bias is not None,
    )
    state: State = {"codewords": module.frozen_codebook, "map": layer.weight.T}
    if layer.bias is not None:
        state["bias"] = layer.bias.unsqueeze(0)
    return Peer(quantizer, _passing(module), layer.out_features, state, channel_first=bool(module.channel_first))


READERS: dict[str, Callable[[Any], Peer]] = {
    "VectorQuantize": _vector,
    "ResidualVQ": _residual,
    "FSQ": _finite,
    "LFQ": _lookup_free,
    "SimVQ": _simple,
}


def fill(state: State, found: State) -> None:
    """Copy a module's tensors into a state, in place; call without gradient."""
    for name, tensor in state.items():
        source: Tensor = found[name]
        tensor.copy_(source.reshape(tensor.shape))
