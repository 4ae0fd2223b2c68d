"""SimVQ: a frozen codebook behind a learned linear map."""

from __future__ import annotations

from torch import Tensor, nn

from quantbench.components import State, component, product
from quantbench.quantizers.vector import CodebookQuantizer
from quantbench.streams import Streams


@component
class SimVQ(CodebookQuantizer):
    """Codewords are ``c W``: the vectors c stay as they were drawn, the matrix W (dim, dim) is learned.

    Zhu et al. (2024), arXiv 2411.02038: every step moves all codewords, those not in use among them. The vectors are normal
    with standard deviation ``dim**-0.5`` and W starts as a random matrix with entries uniform on ``+-dim**-0.5``, as a linear
    layer does, and so does b, which the formula does not have and the authors' layer does. They are trained by the codebook
    loss (weight 1), and the commitment loss has the weight ``commitment``; the authors' code has a default that puts the small
    weight on the codebook's side.

    Formula: ``c[k] W + b``, ``k = argmin |y - c W - b|``
    Source: Zhu et al. (2024), arXiv 2411.02038.
    Recommended: commitment 0.25; vector-quantize-pytorch has no b and adds the rotation trick by default.
    Compared with: vector-quantize-pytorch (bias=false); its bias with what is known of the authors' layer.

    Attributes:
        bias: whether there is a b.
    """

    bias: bool = True

    def init(self, streams: Streams, dim: int) -> State:
        scale: float = dim**-0.5
        state: State = {
            "codewords": scale * streams.normal("codebook", self.codes, dim),
            "map": nn.Parameter(scale * (2 * streams.uniform("codebook", dim, dim) - 1)),
        }
        if self.bias:
            state["bias"] = nn.Parameter(scale * (2 * streams.uniform("codebook", 1, dim) - 1))
        return state

    def codebook(self, state: State) -> Tensor:
        return product(state["codewords"], state["map"], state.get("bias"))
