"""FVQ: codewords come out of a small transformer that sees the whole codebook."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import State, at_least, component, product
from quantbench.errors import ConfigError
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.streams import Streams

EXPANSION = 2
"""Width of a block's hidden layer, in widths of the bridge."""
NORM_FLOOR = 1e-6


@component
class FVQ(CodebookQuantizer):
    """A learned codebook behind a bridge, through which every step moves all codewords.

    Chang et al. (2025), arXiv 2509.10140 (VQBridge). Compress: a linear map makes one token of ``group`` codewords.
    Process: ``depth`` transformer blocks over the tokens, without positions (normalisation, attention, normalisation, a layer
    of twice the width with GELU; each half adds to what came in). Recover: normalisation, and a linear map back to ``group``
    codewords. The last map starts at zero, so that all codewords start at the origin, as in the authors' code. That code lays
    the codebook out as a square picture and cuts it into patches of 4 by 4; as there are no positions, this only says which
    codewords share a token. The bridge stays at test time; its output could be kept as a plain codebook.

    Formula: ``(c1, c2, ...) = B(e1, e2, ...)``, B the bridge; ``k = argmin |y - c|``; losses of ``vq``
    Source: Chang et al. (2025), arXiv 2509.10140; code yfChang-cv/FVQ, its ViT bridge, which is the paper's.
    Recommended: commitment 0.25, width 64 (their S/4) to 256 (L/4), depth 2, 4 heads; a learning rate that rises
    from 0.5 % over 4 of 40 epochs, stays for 30 % of the others, and falls to 1 % along a line (train.lr_end=0.01 is close),
    which the paper counts as a part of the method.
    Compared with: the authors' code, read; a bridge of torch's own layers, as vq_bridge of vector-quantize-pytorch.

    Attributes:
        group: codewords of a token; divides ``codes``.
        width: of the bridge; its heads divide it.
        depth: number of blocks.
        heads: of the attention.
    """

    cost = 0.6

    group: int = 16
    width: int = 64
    depth: int = 2
    heads: int = 4

    def check(self) -> None:
        super().check()
        for name in ("group", "width", "depth", "heads"):
            at_least(f"quantizer.{name}", getattr(self, name), 1)
        if self.codes % self.group:
            raise ConfigError(f"quantizer.group={self.group}: must divide quantizer.codes={self.codes}")
        if self.width % self.heads:
            raise ConfigError(f"quantizer.heads={self.heads}: must divide quantizer.width={self.width}")

    def init(self, streams: Streams, dim: int) -> State:
        token, width = self.group * dim, self.width
        spread: Tensor = (2 * streams.uniform("codebook", self.codes, dim) - 1) / self.codes
        state: State = {"codewords": nn.Parameter(spread)}
        _add_linear(state, "compress", streams, token, width)
        for block in range(self.depth):
            _add_linear(state, f"attend{block}", streams, width, 3 * width)
            _add_linear(state, f"mix{block}", streams, width, width)
            _add_linear(state, f"wide{block}", streams, width, EXPANSION * width)
            _add_linear(state, f"narrow{block}", streams, EXPANSION * width, width)
        state["recover"] = nn.Parameter(spread.new_zeros(streams.trials, width, token))
        state["recover_bias"] = nn.Parameter(spread.new_zeros(streams.trials, 1, token))
        return state

    def codebook(self, state: State) -> Tensor:
        codewords = state["codewords"]
        tokens = _linear(state, "compress", codewords.reshape(len(codewords), -1, self.group * codewords.shape[2]))
        for block in range(self.depth):
            tokens = tokens + self._attention(state, block, _normed(tokens))
            wide = nn.functional.gelu(_linear(state, f"wide{block}", _normed(tokens)), approximate="tanh")
            tokens = tokens + _linear(state, f"narrow{block}", wide)
        return _linear(state, "recover", _normed(tokens)).reshape(codewords.shape)

    def _attention(self, state: State, block: int, tokens: Tensor) -> Tensor:
        """What the tokens (trials, tokens, width) tell one another, in the same shape."""
        trials, count, width = tokens.shape
        each = _linear(state, f"attend{block}", tokens).view(trials, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = each.flatten(1, 2).unbind()  # (trials times heads, tokens, width of a head)
        weights = torch.softmax(product(queries, keys.transpose(1, 2)) * (width // self.heads) ** -0.5, dim=-1)
        told = product(weights, values).view(trials, self.heads, count, -1).transpose(1, 2)
        return _linear(state, f"mix{block}", told.reshape(trials, count, width))


def _add_linear(state: State, name: str, streams: Streams, rows: int, columns: int) -> None:
    """A linear layer with the start of Glorot & Bengio (2010), uniform, and biases of 0."""
    bound: float = (6 / (rows + columns)) ** 0.5
    state[name] = nn.Parameter(bound * (2 * streams.uniform("codebook", rows, columns) - 1))
    state[f"{name}_bias"] = nn.Parameter(state[name].new_zeros(streams.trials, 1, columns))


def _linear(state: State, name: str, values: Tensor) -> Tensor:
    return product(values, state[name], state[f"{name}_bias"])


def _normed(tokens: Tensor) -> Tensor:
    """Layer normalisation without learned scales."""
    return nn.functional.layer_norm(tokens, tokens.shape[-1:], eps=NORM_FLOOR)
