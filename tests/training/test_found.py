"""What was found of sources is kept: under a key of what it follows from, and no damage to a file does any."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from quantbench.components import Factor, component
from quantbench.limits import Sandwich, finite, kmeans, samples, scalar_quantizers
from quantbench.limits.densities import GAUSSIAN, LAPLACE, Density
from quantbench.simulators import Codeword, Gaussian, Rotation
from quantbench.simulators.continuous import Memoryless
from quantbench.training import found, yardsticks
from quantbench.training.yardsticks import Source, limits_of, reference_of

METRICS = {"spent_bits": 3.2, "rate_bits": 3.0, "mse": 0.4}
FRAMES = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
SANDWICH = Sandwich(
    2, (samples.Point(0.1, 1 / 3, 0.0, 1e-300),), (samples.Tangent(2.0, -0.7, 0.2), samples.Tangent(1, 2, 3)), (9, 8)
)


@pytest.fixture
def forgotten(monkeypatch):
    """As another process: nothing is remembered but what is in files."""

    def forget():
        finite._kept.cache_clear()
        monkeypatch.setattr(yardsticks, "_references", {})
        monkeypatch.setattr(yardsticks, "_codebooks", {})

    forget()
    return forget


@pytest.mark.parametrize(
    "simulator", [Codeword(bits=5, frame_dim=4), Rotation(bits=3, frame_dim=3)], ids=["codeword", "rotation"]
)
def test_tangents_that_are_kept_give_the_same_numbers_and_are_not_found_again(tmp_path, monkeypatch, forgotten, simulator):
    plain = limits_of(Source.of(simulator, 3), METRICS)
    forgotten()
    with found.kept_in(tmp_path):
        assert limits_of(Source.of(simulator, 3), METRICS) == plain
    forgotten()
    with monkeypatch.context() as patch, found.kept_in(tmp_path):
        patch.setattr(finite.FiniteAlphabet, "_tangent", None)  # is not asked
        assert limits_of(Source.of(simulator, 3), METRICS) == plain
        forgotten()
        with pytest.raises(TypeError):  # another seed has another alphabet
            limits_of(Source.of(simulator, 4), METRICS)


@pytest.mark.parametrize("simulator", [Codeword(bits=5, frame_dim=4), Gaussian(frame_dim=2)], ids=["exact", "sampled"])
def test_a_codebook_that_is_kept_gives_the_same_reference(tmp_path, monkeypatch, forgotten, simulator):
    monkeypatch.setattr(yardsticks, "FEWEST_FRAMES", 2**10)
    plain = reference_of(Source.of(simulator, 3), METRICS)
    assert plain["reference_note"] == "k-means, 8 codes"
    for original in (kmeans.kmeans, None):
        forgotten()
        with monkeypatch.context() as patch, found.kept_in(tmp_path):
            patch.setattr(kmeans, "kmeans", original)
            assert reference_of(Source.of(simulator, 3), METRICS) == plain
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("kmeans-")


def test_bounds_and_numbers_come_back_as_they_were(tmp_path):
    def never():
        raise AssertionError

    with found.kept_in(tmp_path):
        assert found.bounds(FRAMES, FRAMES, (300, 300), lambda: SANDWICH) is SANDWICH
        assert found.bounds(FRAMES, FRAMES, (300, 300), never) == SANDWICH
        assert (
            found.number("lloyd_max 8", GAUSSIAN, lambda: 0.1 + 0.2)
            == found.number("lloyd_max 8", GAUSSIAN, never)
            == 0.1 + 0.2
        )
        for other in ((FRAMES, FRAMES, None), (FRAMES, FRAMES[1:], (300, 300)), (FRAMES + 1, FRAMES, (300, 300))):
            with pytest.raises(AssertionError):
                found.bounds(*other, never)
        with pytest.raises(AssertionError):
            found.number("lloyd_max 9", GAUSSIAN, never)


@dataclass(frozen=True)
class Mixed(Density):
    """A user's: one name, and a density for every share."""

    name: str = "mixed"
    entropy: float = 2.0
    reach: float = 24.0
    share: float = 0.5

    def pdf(self, x):
        return self.share * GAUSSIAN.pdf(x) + (1 - self.share) * LAPLACE.pdf(x)

    def tails(self, x):
        pairs = zip(GAUSSIAN.tails(x), LAPLACE.tails(x), strict=True)
        return tuple(self.share * one + (1 - self.share) * other for one, other in pairs)


def test_densities_of_one_name_have_references_of_their_own(tmp_path):
    with found.kept_in(tmp_path):
        kept = [yardsticks._lloyd_max(Mixed(share=share), 8) for share in (0.0, 0.5, 1.0)]
    plain = [scalar_quantizers.lloyd_max(density, 8).mse for density in (LAPLACE, Mixed(share=0.5), GAUSSIAN)]
    assert kept == pytest.approx(plain, rel=1e-6)
    assert len(set(kept)) == 3


def source_of(scale):
    """A class as a cell of a notebook defines it, each time anew."""

    @component
    class Source(Memoryless):
        stretch: Factor = 1.0

        def samples(self, streams, frames, purpose):
            return scale * self.stretch * streams.normal(purpose, frames, 2)

    return Source


def test_a_process_that_meets_several_sources_of_one_name_takes_none_for_another(monkeypatch, forgotten):
    monkeypatch.setattr(yardsticks, "FEWEST_FRAMES", 2**10)
    one = source_of(1.0)
    sources = [one(frame_dim=2), source_of(2.0)(frame_dim=2), one(frame_dim=2, stretch=1.00001), one(frame_dim=2)]
    found = [reference_of(Source.of(simulator, 3), METRICS)["reference_mse"] for simulator in sources]
    assert found[1] == pytest.approx(4 * found[0], rel=1e-3)
    assert found[0] != found[2]
    assert found[0] == found[3]


DAMAGE = {
    "cut": lambda path, other: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path, other: path.write_text(""),
    "no text": lambda path, other: path.write_bytes(b"\xff\xfe\x00"),
    "foreign": lambda path, other: path.write_text("[1, 2]"),
    "of another": lambda path, other: path.write_bytes(other.read_bytes()),
    "another digit": lambda path, other: path.write_text(path.read_text().replace('"found": 1.0', '"found": 2.0')),
    "a link": lambda path, other: (path.unlink(), path.symlink_to(other)),
    "a pipe": lambda path, other: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path, other: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_found_again(tmp_path, damage):
    with found.kept_in(tmp_path):
        found.number("number a", GAUSSIAN, lambda: 1.0)
        (path,) = tmp_path.iterdir()
        found.number("number b", GAUSSIAN, lambda: 5.0)
        (other,) = set(tmp_path.iterdir()) - {path}
        DAMAGE[damage](path, other)
        assert found.number("number a", GAUSSIAN, lambda: 3.0) == 3.0
        if damage not in ("a folder", "a pipe"):
            assert found.number("number a", GAUSSIAN, lambda: 4.0) == 3.0  # and kept


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", None):
        with found.kept_in(folder):
            assert [found.number("number a", GAUSSIAN, lambda value=value: value) for value in (1.0, 2.0)] == [1.0, 2.0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(found.SWITCH)
    assert found.place() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert found.place() == tmp_path / "quantbench" / "yardsticks"
    monkeypatch.setenv(found.SWITCH, "off")
    assert found.place() is None


def test_other_code_and_other_packages_have_other_keys(tmp_path, monkeypatch):
    with found.kept_in(tmp_path):
        assert found.number("number a", GAUSSIAN, lambda: 1.0) == 1.0
        monkeypatch.setattr(found, "_version", lambda: "another")
        assert found.number("number a", GAUSSIAN, lambda: 2.0) == 2.0


@pytest.mark.parametrize(("most", "value"), [("MOST_FILES", 8), ("MOST_BYTES", 800)])
def test_the_folder_has_a_size(tmp_path, monkeypatch, most, value):
    for number in range(10):
        (tmp_path / f"{number}.json").write_text("x" * 100)
        os.utime(tmp_path / f"{number}.json", (number, number))
    found.tidy(tmp_path)
    assert len(list(tmp_path.iterdir())) == 10
    monkeypatch.setattr(found, most, value)
    found.tidy(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["4", "5", "6", "7", "8", "9"]
    found.tidy(tmp_path / "none")
