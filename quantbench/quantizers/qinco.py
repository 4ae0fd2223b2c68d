"""QINCo: residual quantization whose codebooks are functions of what is quantized so far."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quantbench.components import PerTrial, State, at_least, at_most, component, over_chunks, product, take, total
from quantbench.quantizers.base import WHOLE, Code, Committed, Moment
from quantbench.quantizers.parts import one_state, part_of
from quantbench.quantizers.search import first_minimum, nearest
from quantbench.quantizers.vector import LARGEST_CODEBOOK, VectorQuantizer
from quantbench.streams import Streams

NUMBERS_PER_TRIAL = 2**18
"""Numbers of codewords and hidden units held at a time, so that a large evaluation set stays small in memory."""


@component
class QINCo(Committed):
    """Residual quantization with implicit neural codebooks: a network makes a stage's codewords for every frame.

    Huijben et al. (2024), arXiv 2401.14732. The first stage has a plain codebook. Further stages have a codebook of base
    codewords b; that of a frame is ``c = b + W [b; x] + w``, x being the sum of the codewords so far, and after that
    ``c + V relu(U c)`` for each of the ``blocks``, of ``hidden`` units. Base codebooks start as those of residual k-means on
    the first latents, the networks as torch's linear layers do. The search computes all codewords of a frame, without
    gradient and for a part of the frames at a time; the chosen ones are then computed once more, with gradient.

    The authors quantize data that are given: there is no encoder, and no gradient passes. Their loss is the sum over stages of
    the distance of the sum so far to the data; its gradient goes on through the sums to all stages before. That is the
    codebook loss here, per dimension as in their code. The commitment loss is ours, for an encoder: the same distances
    with the latent's and the code's roles exchanged. A strategy acts once, on the sum of all stages, as one STE over a residual
    quantizer does; there is no codebook that all frames share and no table of distances, so that none which asks for
    these fits. As a part of ``product`` it is PQ-QINCo.

    The package vector-quantize-pytorch differs: it has no b beside the first linear map, SiLU in the place of ReLU, biases in
    the blocks, and the gradient of a loss stays in its stage.

    Formula: ``x_0 = 0, x_m = x_(m-1) + f_m(x_(m-1), b_m[k])``, ``k = argmin |y - x_m|``; loss ``sum_m |sg(y) - x_m|**2``
    Source: Huijben et al. (2024), arXiv 2401.14732 (facebookresearch/Qinco, qinco_v1).
    Recommended: 256 codes, hidden 256, 4 blocks (2 for a fast one, 16 for the paper's table), learning rate 1e-3 to 1e-4.
    Compared with: the formula of the authors' code, which was read; vector-quantize-pytorch without blocks.

    Attributes:
        codes: of every stage.
        stages: number of stages.
        hidden: units of a residual block.
        blocks: residual blocks of a stage's network.
        commitment: weight of the commitment loss, the sum over stages.
        codebook_weight: weight of the codebook loss.
    """

    sizes = ("codes", "stages")
    offers = frozenset({WHOLE})
    cost = 1.5

    codes: int = 16
    stages: int = 2
    hidden: int = 32
    blocks: int = 2
    commitment: PerTrial = 0.25
    codebook_weight: PerTrial = 1.0

    def check(self) -> None:
        super().check()
        at_least("quantizer.codes", self.codes, 2)
        at_most("quantizer.codes", self.codes, LARGEST_CODEBOOK)
        at_least("quantizer.stages", self.stages, 1)
        at_least("quantizer.hidden", self.hidden, 1)
        at_least("quantizer.blocks", self.blocks, 0)
        at_least("quantizer.codebook_weight", self.codebook_weight, 0)

    def alphabet(self, dim: int) -> list[int]:
        return [self.codes] * self.stages

    def init(self, streams: Streams, dim: int) -> State:
        return one_state([self._init_stage(streams, dim, number) for number in range(self.stages)])

    def _init_stage(self, streams: Streams, dim: int, number: int) -> State:
        state: State = {"codewords": nn.Parameter(streams.normal("codebook", self.codes, dim))}
        if not number:
            return state
        layers = {"base": (dim, dim), "sum": (dim, dim), "bias": (1, dim)}
        for block in range(self.blocks):
            layers |= {f"inwards{block}": (dim, self.hidden), f"outwards{block}": (self.hidden, dim)}
        for name, (rows, columns) in layers.items():
            inputs = rows if "wards" in name else 2 * dim
            drawn = 2 * streams.uniform("codebook", rows, columns) - 1
            state[name] = nn.Parameter(drawn * inputs**-0.5)
        return state

    def fit_frames(self, batch: int) -> int:
        return max(batch, 4 * self.codes)

    @torch.no_grad()
    def fit(self, state: State, latents: Tensor, streams: Streams) -> None:
        plain = VectorQuantizer(codes=self.codes, init_by="kmeans")
        for number in range(self.stages):
            own = part_of(state, number)
            plain.fit(own, latents, streams)
            latents = latents - take(own["codewords"], nearest(own["codewords"], latents))

    def quantize(self, state: State, latents: Tensor) -> Code:
        with torch.no_grad():
            index = nearest(state["0.codewords"], latents)
            indices, so_far = [index], take(state["0.codewords"], index)
            for number in range(1, self.stages):
                own = part_of(state, number)
                indices.append(self._search(own, so_far, latents))
                so_far = so_far + self._chosen(own, so_far, indices[-1])
        every = torch.stack(indices, dim=-1)
        return Code(self.decode(state, every), every)

    def decode(self, state: State, indices: Tensor) -> Tensor:
        return self._sums(state, indices)[-1]

    def parts(self, dim: int) -> list[int]:
        return [1] * self.stages

    def prefixes(self, state: State, indices: Tensor) -> Iterator[Tensor]:
        return iter(self._sums(state, indices))

    def loss(self, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        assert code.indices is not None
        sums = self._sums(state, code.indices)
        codebook = total([moment.error(one, latents.detach()) for one in sums])
        commitment = total([moment.error(latents, one.detach()) for one in sums])
        return self.commitment * commitment + self.codebook_weight * codebook

    def _sums(self, state: State, indices: Tensor) -> list[Tensor]:
        """What each stage's codewords add up to, (trials, frames, dim) each, differentiable."""
        sums = [take(state["0.codewords"], indices[..., 0])]
        for number in range(1, self.stages):
            sums.append(sums[-1] + self._chosen(part_of(state, number), sums[-1], indices[..., number]))
        return sums

    def _chosen(self, own: State, so_far: Tensor, index: Tensor) -> Tensor:
        """The codewords at index (trials, frames) of frames with these sums so far, (trials, frames, dim)."""
        first = self._first(own)
        return self._blocks(own, take(first, index) + product(so_far, own["sum"]))

    def _search(self, own: State, so_far: Tensor, latents: Tensor) -> Tensor:
        """Index of the best codeword of each frame, (trials, frames)."""
        trials, _, dim = latents.shape
        first = self._first(own).unsqueeze(1)

        def found(part: Tensor) -> Tensor:
            begun, rest = part[..., :dim], part[..., dim:]
            start = first + product(begun, own["sum"]).unsqueeze(2)
            codewords = self._blocks(own, start.flatten(1, 2)).view(trials, -1, self.codes, dim)
            return first_minimum((rest.unsqueeze(2) - codewords).square().sum(-1))

        chunk = max(1, NUMBERS_PER_TRIAL // (self.codes * max(dim, self.hidden)))
        return over_chunks(found, torch.cat([so_far, latents - so_far], dim=-1), chunk)

    def _first(self, own: State) -> Tensor:
        """What the first layer makes of base codewords, without the part of the sum so far, (trials, codes, dim)."""
        return own["codewords"] + product(own["codewords"], own["base"], own["bias"])

    def _blocks(self, own: State, vectors: Tensor) -> Tensor:
        """The residual blocks, (trials, vectors, dim) to the same."""
        for block in range(self.blocks):
            hidden = torch.relu(product(vectors, own[f"inwards{block}"]))
            vectors = vectors + product(hidden, own[f"outwards{block}"])
        return vectors
