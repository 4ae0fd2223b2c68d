import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantbench.codecs import MLP
from quantbench.components import component
from quantbench.gradients import Gradient
from quantbench.limits import Limit, finite, kmeans, samples, scalar_quantizers, shannon
from quantbench.limits.densities import GAUSSIAN, LAPLACE, UNIFORM
from quantbench.quantizers import EntropyScalar, Quantizer
from quantbench.quantizers.none import Identity
from quantbench.quantizers.scalar import FSQ
from quantbench.quantizers.vector import VectorQuantizer
from quantbench.simulators import (
    Banana,
    Codeword,
    Frames,
    Gaussian,
    GaussMarkov,
    Laplace,
    Rotation,
    Sawbridge,
    Simulator,
    Uniform,
)
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.training import Keep, Stack, TrainSettings, bounds, train, yardsticks

SIGMAS = 5
"""Standard errors that a distortion measured on a sample may lie below the limit."""


def trained(
    simulator: Simulator, quantizer: Quantizer, steps: int = 30, seed: int = 0, dim: int = 2, gradient: str = "ste", **given
):
    strategy: Gradient = default_component("gradient", gradient)
    codec = MLP(latent_dim=dim, hidden=16)
    settings = TrainSettings(steps=steps, batch=64, lr=0.01, log_every=steps)
    stack = Stack.of(
        simulator=simulator,
        codec=codec,
        quantizer=quantizer,
        gradient=strategy,
        train=settings,
        seeds=(seed,),
        device="cpu",
    )
    return train(stack, **given)[0].metrics


SOURCES = [
    Gaussian(frame_dim=2),
    Laplace(frame_dim=1),
    Uniform(frame_dim=3),
    GaussMarkov(frame_dim=3),
    Banana(),
    Sawbridge(frame_dim=31),
    Codeword(bits=4, frame_dim=4),
    Rotation(bits=3, frame_dim=3),
]


@given(
    simulator=st.sampled_from(SOURCES),
    quantizer=st.one_of(
        st.builds(VectorQuantizer, codes=st.integers(2, 24), init_by=st.sampled_from(["data", "kmeans"])),
        st.builds(FSQ, levels=st.integers(2, 7)),
        st.builds(EntropyScalar, rate_weight=st.floats(0.001, 0.3)),
    ),
    steps=st.sampled_from([1, 20, 150]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_trained_codec_and_no_reference_is_below_the_limit(simulator, quantizer, steps, seed):
    row = trained(simulator, quantizer, steps, seed)
    limit = simulator.limit(world := simulator.world(Streams([seed])), 0)
    assert isinstance(limit, Limit), world
    noise = SIGMAS * (row.get("mse_error") or 0.0)
    least = limit.mse(row["spent_bits"] + limit.error_bits)
    assert row["mse"] + noise >= least * (1 - limit.error) - 1e-6
    if row["reference_mse"] is not None:
        rate = row["spent_bits"] if row["rate_bits"] is None else row["rate_bits"]
        assert row["reference_mse"] * 1.05 >= limit.mse(rate + limit.error_bits) * (1 - limit.error)


@pytest.mark.parametrize("density", [GAUSSIAN, LAPLACE, UNIFORM], ids=lambda d: d.name)
@given(bits=st.floats(0.1, 6))
@settings(max_examples=12, deadline=None)
def test_no_scalar_quantizer_is_below_the_limit(density, bits):
    error = 1 - shannon.TABLE_ERROR
    assert scalar_quantizers.entropy_coded(density, bits).mse >= shannon.memoryless(density, bits) * error
    levels = max(1, round(2**bits))
    found = scalar_quantizers.lloyd_max(density, levels)
    assert found.mse >= shannon.memoryless(density, found.entropy) * error
    assert found.entropy <= math.log2(levels) + 1e-9


def test_a_row_says_what_its_limit_and_reference_are():
    row = trained(Gaussian(frame_dim=2), VectorQuantizer(codes=16))
    assert row["limit_mse"] == pytest.approx(2 ** -row["spent_bits"])
    assert row["gap_db"] == pytest.approx(10 * math.log10(row["mse"] / row["limit_mse"]))
    assert row["limit_note"] == "rate-distortion function of the gaussian source"
    assert row["reference_note"] == "k-means, 16 codes"
    assert 0.1 < row["reference_mse"] < 0.12
    assert 0.002 < row["mse_error"] / row["mse"] < 0.01


def test_a_scalar_quantizer_of_one_feature_is_compared_with_lloyd_max():
    row = trained(Laplace(frame_dim=1), FSQ(levels=4), dim=1)
    assert (row["reference_mse"], row["reference_note"]) == (pytest.approx(0.1762, abs=1e-4), "Lloyd-Max, 4 levels")


def test_many_features_are_compared_with_lloyd_max_too():
    row = trained(Gaussian(frame_dim=8), FSQ(levels=4), dim=8)
    assert (row["reference_mse"], row["reference_note"]) == (pytest.approx(0.1175, abs=1e-4), "Lloyd-Max, 4 levels a feature")


def test_an_entropy_coded_quantizer_is_compared_at_what_its_coder_spent():
    row = trained(Gaussian(frame_dim=2), EntropyScalar(rate_weight=0.01), steps=100)
    assert row["spent_bits"] == row["coded_bits"]
    assert row["reference_note"] == "entropy-coded scalar quantizer"
    best = scalar_quantizers.entropy_coded(GAUSSIAN, round(row["spent_bits"] / 2, 3)).mse
    assert row["reference_mse"] == pytest.approx(best, rel=0.01)


def test_a_finite_source_has_no_evaluation_error_and_a_limit_of_zero_at_its_bits():
    row = trained(Codeword(bits=2, frame_dim=3), VectorQuantizer(codes=64), steps=200)
    assert "mse_error" not in row
    assert row["spent_bits"] == pytest.approx(2)
    assert (row["limit_mse"], row["reference_mse"], row["reference_note"]) == (0, 0, "one code a symbol")
    assert "gap_db" not in row
    assert "0 is possible with the bits spent" in row["limit_note"]


@pytest.mark.parametrize(
    ("simulator", "quantizer", "limit", "reference"),
    [
        (
            Codeword(bits=4, nuisance=0.1),
            FSQ(levels=2),
            "no limit is known for codewords in noise",
            "the target is not the input",
        ),
        (Codeword(bits=11), FSQ(levels=2), "computed up to 1024 codewords", "k-means, 4 codes"),
        (Rotation(), FSQ(levels=2), "rotated copies", "no reference uses side information"),
        (GaussMarkov(frame_dim=4), FSQ(levels=200), "Gauss-Markov block of 4", "k-means is run up to 32768 codes"),
        (Gaussian(), Identity(), "no rate was spent", "no reference is known for this rate"),
    ],
    ids=["nuisance", "large alphabet", "side information", "many codes", "nothing quantized"],
)
def test_what_is_not_known_has_a_reason(simulator, quantizer, limit, reference):
    row = trained(simulator, quantizer, steps=2)
    assert limit in row["limit_note"]
    assert reference in row["reference_note"]
    assert (row.get("limit_mse") is None) == ("no " in limit or "up to" in limit)


@pytest.mark.parametrize("simulator", SOURCES, ids=lambda one: type(one).__name__)
def test_excess_bits_are_the_nominal_bits_less_those_that_the_distortion_needs(simulator):
    row = trained(simulator, VectorQuantizer(codes=8), steps=60)
    limit = simulator.limit(simulator.world(Streams([0])), 0)
    assert row["excess_bits"] == pytest.approx(3 - limit.bits(row["mse"]))
    assert -0.05 <= row["excess_bits"] <= 3
    assert ("limit_process_mse" in row) == isinstance(simulator, GaussMarkov)


def test_a_codec_that_says_nothing_wastes_all_its_bits_and_a_perfect_one_none():
    limit = Gaussian(frame_dim=2).limit({}, 0)
    collapsed = yardsticks._limit(limit, {"spent_bits": 0.1, "rate_bits": 6.0, "mse": 1.02})
    assert collapsed["excess_bits"] == 6.0
    assert collapsed["gap_db"] < 1  # which is why this one is no goal
    known = finite.alphabet(torch.randn(1, 16, 4, generator=torch.Generator().manual_seed(0)).numpy())
    perfect = Limit("", known.mse, inverse=known.bits)
    row = yardsticks._limit(perfect, {"spent_bits": 4.0, "rate_bits": 4.0, "mse": 0.0})
    assert row["excess_bits"] == pytest.approx(0)
    assert "gap_db" not in row


def test_an_entropy_coded_codec_is_charged_what_its_coder_spent():
    row = trained(Gaussian(frame_dim=2), EntropyScalar(rate_weight=0.01), steps=100)
    assert row["rate_bits"] is None
    assert row["excess_bits"] == pytest.approx(row["spent_bits"] + math.log2(row["mse"]))


def test_without_a_rate_or_a_limit_there_is_no_excess():
    assert "excess_bits" not in trained(Gaussian(), Identity(), steps=2)
    assert "excess_bits" not in trained(Codeword(bits=11), FSQ(levels=2), steps=2)
    limit = Gaussian(frame_dim=2).limit({}, 0)
    assert "excess_bits" not in yardsticks._limit(limit, {"spent_bits": 1.0, "rate_bits": 2.0, "mse": math.nan})


def test_a_block_of_a_process_is_compared_with_the_process_too():
    row = trained(GaussMarkov(frame_dim=4), VectorQuantizer(codes=16))
    assert row["limit_process_mse"] == pytest.approx(shannon.gauss_markov_process(0.9, row["spent_bits"] / 4))
    assert row["limit_process_mse"] < row["limit_mse"]
    assert "block of 4, coded alone" in row["limit_note"]


def test_rates_of_a_finite_source_are_exact_and_those_of_a_sample_have_an_error():
    row = trained(Codeword(bits=3, frame_dim=3), FSQ(levels=3), steps=20)
    assert row["joint_entropy_error"] == 0
    assert row["joint_entropy_bits"] <= row["spent_bits"] + 1e-9
    assert row["joint_entropy_bits"] <= 3 + 1e-9
    sampled = trained(Gaussian(frame_dim=2), FSQ(levels=3), steps=20)
    assert 0 < sampled["joint_entropy_error"] < 0.1
    one = trained(Gaussian(frame_dim=2), VectorQuantizer(codes=8), steps=20)
    assert one["joint_entropy_bits"] == one["spent_bits"]


def test_limits_that_were_found_serve_all_stacks():
    simulator = Codeword(bits=3, frame_dim=4)
    first, second = (simulator.limit(simulator.world(Streams([5])), 0) for _ in range(2))
    assert first.mse(2.0) == second.mse(2.0)
    targets = simulator.world(Streams([5]))["targets"].double().numpy()
    assert finite.alphabet(targets).tangents  # solved by then


def test_a_codebook_is_trained_once_for_all_seeds_of_a_source_without_a_world(monkeypatch):
    calls = []
    found = yardsticks.kmeans.kmeans
    monkeypatch.setattr(yardsticks.kmeans, "kmeans", lambda *given: calls.append(given) or found(*given))
    monkeypatch.setattr(yardsticks, "_codebooks", {})
    for seed in (11, 12):
        trained(Uniform(frame_dim=2), VectorQuantizer(codes=5), steps=1, seed=seed)
    assert len(calls) == 1


def test_k_means_that_would_take_long_is_left_out_by_its_sizes_alone():
    """1024 codes of 40 features took 63 s, 256 codes 10.5 s, on one core (2026); what a machine can do does not count."""
    frames = yardsticks._reference_frames
    assert [round(kmeans.seconds(frames(codes), 40, codes)) for codes in (256, 1024)] == [11, 70]
    full, passes = yardsticks._passes(2**17, 40, 256, 3, False), yardsticks._passes(2**17, 40, 1024, 3, False)
    assert (full, passes) == (0, 4)
    assert yardsticks._passes(2**17, 64, 16384, 3, False) == 1
    assert yardsticks._passes(2**17, 40, 1024, 3, True) is None  # a finite source has no further frames
    assert yardsticks._passes(2**17, 64, 32768, 3, False) is None


def test_where_k_means_would_take_long_mini_batches_take_its_place(monkeypatch):
    monkeypatch.setattr(yardsticks, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(yardsticks, "MOST_FRAMES", 2**13)
    row = trained(GaussMarkov(frame_dim=4), VectorQuantizer(codes=64), steps=1)
    assert row["reference_note"] == "k-means, 64 codes, by mini-batch: 4 passes over 128 frames a code"
    assert row["limit_mse"] < row["reference_mse"] < 0.25
    monkeypatch.setattr(yardsticks, "MOST_SECONDS", 1e-6)
    row = trained(GaussMarkov(frame_dim=4), VectorQuantizer(codes=65), steps=1)
    assert (row["reference_mse"], row["reference_note"]) == (
        None,
        "k-means of 65 codes is left out: it takes more than 1e-06 s on one core",
    )


def test_references_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(yardsticks, "_reference", None)  # is not asked
    row = trained(Gaussian(frame_dim=2), VectorQuantizer(codes=16), keep=Keep(references=False))
    assert (row["reference_mse"], row["reference_note"]) == (None, "switched off (references=false)")
    assert row["limit_mse"] > 0
    assert row["excess_bits"] is not None


def test_what_comes_after_the_last_step_is_told_until_it_is_done():
    told = []
    trained(Gaussian(frame_dim=2), VectorQuantizer(codes=4), told=lambda phase, share: told.append((phase, share)))
    assert list(dict.fromkeys(phase for phase, _ in told)) == ["training", "measuring", "limits and references"]
    assert sum(share for _, share in told) == pytest.approx(1)


def test_k_means_on_too_many_symbols_is_left_out(monkeypatch):
    monkeypatch.setattr(yardsticks, "MOST_WORK", 16 * 4)
    assert trained(Codeword(bits=4), FSQ(levels=2), steps=1)["reference_note"] == "k-means, 4 codes"
    monkeypatch.setattr(yardsticks, "MOST_WORK", 16 * 4 - 1)
    assert "too long" in trained(Codeword(bits=4), FSQ(levels=2), steps=1)["reference_note"]


@component
class Ring(Simulator):
    """A source whose limit nobody told."""

    noisy: bool = False

    @property
    def input_dim(self) -> int:
        return 2

    def draw(self, world, streams, frames, purpose="data"):
        angle = 2 * math.pi * streams.uniform(purpose, frames)
        frame = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=-1)
        return Frames(frame + 0.1 * streams.normal(purpose, frames, 2) if self.noisy else frame, frame)


@pytest.fixture
def quick(monkeypatch):
    for name, value in {"BITS": (1.0, 2.0, 3.0), "PARTS": 16, "SAMPLE": 512, "FIT": 1024, "FIRST_STEPS": 8}.items():
        monkeypatch.setattr(samples, name, value)
    monkeypatch.setattr(bounds, "_bounds", {})


def test_a_source_without_a_limit_has_bounds_that_are_found_once(quick, monkeypatch):
    calls = []
    found = bounds.sandwich
    monkeypatch.setattr(bounds, "sandwich", lambda *given, **more: calls.append(given) or found(*given, **more))
    rows = [trained(Ring(), VectorQuantizer(codes=codes), steps=200, seed=seed) for codes, seed in ((8, 0), (4, 1))]
    assert [given[0].shape[1] for given in calls] == [2]
    for row in rows:
        assert 0 < row["lower_mse"] < row["upper_mse"]
        assert row["lower_mse"] < row["mse"] + 5 * row["mse_error"]
        assert row["limit_note"] == "no limit is known for Ring; lower_mse and upper_mse are bounds from samples"
        assert not {"limit_mse", "gap_db", "excess_bits"} & set(row)
    known = bounds.sandwich(*calls[0])
    assert rows[0]["upper_mse"] == known.upper(rows[0]["spent_bits"])
    assert rows[0]["lower_mse"] == known.lower(rows[0]["spent_bits"])
    beyond = bounds.bounded(Ring(), 0, "none", 30.0, True)
    assert beyond["lower_mse"] is None
    assert beyond["limit_note"].endswith("they bound nothing from below at the bits spent")


@component
class Turning(Ring):
    """Its held-out frames follow each other, in runs."""

    def evaluation(self, world, streams):
        frames = super().evaluation(world, streams)
        return Frames(frames.input, frames.target, runs=(self.held_out_frames // 4,) * 4)


def test_bounds_know_which_frames_follow_each_other_and_the_note_says_what_is_assumed(quick, monkeypatch):
    told = []
    found = bounds.sandwich
    monkeypatch.setattr(bounds, "sandwich", lambda *given, runs: told.append(runs) or found(*given, runs=runs))
    row = bounds.bounded(Turning(), 0, "none", 2.0, True)
    assert told == [(Turning().held_out_frames // 4,) * 4]
    assert row["limit_note"].startswith("none; lower_mse and upper_mse are bounds from samples, if frames far apart in time")


@pytest.mark.parametrize(
    ("simulator", "references", "note"),
    [
        (Ring(), False, "bounds are switched off (references=false)"),
        (Ring(noisy=True), True, "no bounds: the target is not the input"),
        (Codeword(bits=11), True, "computed up to 1024 codewords"),
        (Rotation(bits=12), True, "computed up to 1024 of them"),
    ],
)
def test_where_there_are_no_bounds_the_note_says_why(quick, simulator, references, note):
    reason = simulator.limit(simulator.world(Streams([0])), 0).reason
    row = bounds.bounded(simulator, 0, reason, 2.0, references)
    assert row == {"limit_note": row["limit_note"]}
    assert row["limit_note"].endswith(note)
    assert bounds.bounded(simulator, 0, reason, None, references) == {"limit_note": reason}


def test_bounds_of_wide_frames_and_of_few_are_left_out(quick, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_FEATURES", 1)
    assert bounds.bounded(Ring(), 0, "none", 2.0, True)["limit_note"] == "none; bounds are looked for up to 1 features"
    monkeypatch.setattr(bounds, "MOST_FEATURES", 2)
    monkeypatch.setattr(bounds, "FRAMES", 100)
    note = bounds.bounded(Ring(), 1, "none", 2.0, True)["limit_note"]
    assert note == "none; bounds are looked for up to 1 features"  # a source is looked at once
    monkeypatch.setattr(bounds, "_bounds", {})
    assert "no bounds: 100 frames to fit" in bounds.bounded(Ring(), 1, "none", 2.0, True)["limit_note"]
