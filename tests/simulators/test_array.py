"""Arrays of the user's own: every format, splits that leak nothing, and what is refused."""

import re

import numpy as np
import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.simulators import Array
from quantbench.streams import Streams

ROWS, FEATURES = 400, 5


def latents(rows=ROWS, seed=0):
    scales = np.arange(1, FEATURES + 1)
    return (np.random.default_rng(seed).standard_normal((rows, FEATURES)) * scales + 3).astype("float32")


def save(path, values, **more):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, latents=values, **more)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"latents": values, **more}, path)
    else:
        pyarrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
        columns = {f"c{number}": values[:, number] for number in range(values.shape[1])}
        parquet.write_table(pyarrow.table(columns | more), path)
    return path


def frames_of(simulator, count=50):
    simulator.check()
    streams = Streams([0, 1])
    world = simulator.world(streams)
    return simulator.draw(world, streams, count), simulator.evaluation(world, streams), world


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".parquet"])
def test_every_format_gives_the_same_frames(tmp_path, suffix):
    values = latents()
    file = save(tmp_path / f"latents{suffix}", values)
    simulator = Array(file=str(file), normalise="none")
    drawn, held_out, world = frames_of(simulator)
    assert simulator.input_dim == FEATURES
    assert drawn.input.shape == (2, 50, FEATURES)
    assert torch.equal(held_out.input[1], torch.from_numpy(values)[world["held_out"]])
    known = {tuple(row) for row in values[world["train"].numpy()].tolist()}
    assert all(tuple(row) in known for row in drawn.input.flatten(0, 1).tolist())


def test_parquet_takes_a_column_of_vectors_and_leaves_labels_out(tmp_path):
    pyarrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
    values, speaker = latents(), np.repeat(["a", "b", "c", "d"], ROWS // 4)
    table = pyarrow.table({"z": list(values), "speaker": speaker})
    parquet.write_table(table, tmp_path / "z.parquet")
    _, held_out, world = frames_of(Array(file=str(tmp_path / "z.parquet"), groups="speaker", normalise="none", held_out=0.25))
    assert len({*speaker[world["held_out"].numpy()]}) == 1
    assert held_out.runs == (ROWS // 4,)
    assert np.array_equal(held_out.input[0].numpy(), values[world["held_out"].numpy()])


def test_an_array_on_disk_is_mapped_and_left_as_it_is(tmp_path):
    file = save(tmp_path / "latents.npy", latents())
    before = file.read_bytes()
    _, _, world = frames_of(Array(file=str(file)))
    world["rows"].mul_(0)
    assert file.read_bytes() == before
    assert isinstance(np.load(file, mmap_mode="c"), np.memmap)


def test_normalisation_is_of_the_rows_that_are_trained_on(tmp_path):
    values = latents()
    file = str(save(tmp_path / "latents.npy", values))
    for normalise in ("whole", "columns"):
        _, held_out, world = frames_of(Array(file=file, normalise=normalise))
        train = values[world["train"].numpy()].astype(float)
        spread = train.std(0) if normalise == "columns" else np.sqrt(train.var(0).mean())
        expected = (values[world["held_out"].numpy()] - train.mean(0)) / spread
        assert np.allclose(held_out.input[0].numpy(), expected, atol=1e-5)


def test_stretches_in_time_are_held_out_not_single_rows(tmp_path):
    file = save(tmp_path / "latents.npy", latents(4000))
    _, held_out, world = frames_of(Array(file=str(file)))
    assert held_out.runs == (50,) * 8
    assert not {*world["train"].tolist()} & {*world["held_out"].tolist()}
    assert len(world["train"]) + len(world["held_out"]) == 4000
    first = frames_of(Array(file=str(file), evaluate_on="validation"))[1]
    second = frames_of(Array(file=str(file), evaluate_on="test"))[1]
    assert first.runs == second.runs == (50,) * 4
    assert torch.equal(torch.cat([first.input, second.input], 1), held_out.input)


def test_rows_that_stand_alone_are_held_out_at_random(tmp_path):
    file = save(tmp_path / "latents.npy", latents())
    _, held_out, world = frames_of(Array(file=str(file), rows="independent"))
    assert held_out.runs is None
    assert len(world["held_out"]) == 40
    assert len({*np.diff(world["held_out"].numpy()).tolist()}) > 5


def test_groups_are_held_out_as_a_whole_and_sequences_end_where_labels_do(tmp_path):
    speaker, clip = np.repeat(np.arange(4), 100), np.repeat(np.arange(16), 25)
    file = str(save(tmp_path / "latents.npz", latents(), speaker=speaker, clip=clip))
    simulator = Array(file=file, key="latents", groups="speaker", sequences="clip", held_out=0.25)
    _, held_out, world = frames_of(simulator)
    chosen = {*speaker[world["held_out"].numpy()]}
    assert len(chosen) == 1
    assert not chosen & {*speaker[world["train"].numpy()]}
    assert held_out.runs == (25,) * 4


def test_a_folder_holds_out_files_and_a_label_file_lies_beside_an_array(tmp_path):
    (tmp_path / "clips").mkdir()
    for number in range(8):
        save(tmp_path / "clips" / f"{number}.npy", latents(50 + number, number))
    _, held_out, world = frames_of(Array(file=str(tmp_path / "clips"), held_out=0.25))
    assert len(held_out.runs) == 2
    assert sum(held_out.runs) == len(world["held_out"])
    assert {*held_out.runs} <= {*range(50, 58)}
    file = str(save(tmp_path / "latents.npy", latents()))
    np.save(tmp_path / "speaker.npy", np.repeat(["x", "y"], 200))
    assert frames_of(Array(file=file, groups="speaker.npy"))[1].runs == (200,)


def test_the_fingerprint_is_of_the_content(tmp_path):
    file, other = save(tmp_path / "latents.npy", latents()), save(tmp_path / "other.npy", latents())
    one = Array(file=str(file)).fingerprint()
    assert one == Array(file=str(other)).fingerprint()
    save(file, latents(seed=1))
    assert one != Array(file=str(file)).fingerprint()
    np.save(tmp_path / "speaker.npy", np.repeat([0, 1], 200))
    labelled = Array(file=str(other), groups="speaker.npy").fingerprint()
    np.save(tmp_path / "speaker.npy", np.repeat([0, 1], [100, 300]))
    assert labelled != Array(file=str(other), groups="speaker.npy").fingerprint()


def spoiled(row, column, value):
    values = latents()
    values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (spoiled(17, 3, np.nan), r"latents.npy: row 17, column 3 \(both from 0\): is nan"),
        (spoiled(399, 0, -np.inf), r"row 399, column 0 .*: is -inf"),
        (latents().astype("float64") * 1e300, "which is no number of 32 bits"),
        (latents().astype("int32"), r"latents.npy: holds numbers of the type int32; must be floating-point"),
        (latents()[:, 0], r"shape \(400,\); must be \(rows, features\): reshape\(-1, 1\)"),
        (latents().reshape(8, 50, FEATURES), r"shape \(8, 50, 5\); must be \(rows, features\): for clips"),
        (np.where(np.arange(FEATURES) == 2, 7, latents()).astype("float32"), r"column 2 \(from 0\) is 7.0 in all rows"),
        (latents(40), r"40 rows leave \d+ to train on and \d+ held out .* at least 64 and 16"),
        (latents(1), "1 rows leave"),
        (latents(0), "0 rows leave"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, values, message):
    with pytest.raises(ConfigError, match=rf"simulator.file=.*{message}"):
        Array(file=str(save(tmp_path / "latents.npy", values))).check()


def refused(path, **settings):
    with pytest.raises(ConfigError) as caught:
        Array(file=str(path), **settings).check()
    return str(caught.value)


def test_files_that_are_none_of_these_are_named(tmp_path):
    assert "no such file; name the array of your latents: allowed are .npy" in refused(tmp_path / "latents.npy")
    (tmp_path / "a.csv").write_text("1,2")
    assert "of a kind that is not read" in refused(tmp_path / "a.csv")
    for suffix in (".npy", ".npz", ".safetensors", ".parquet"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"not it")
        assert f"simulator.file={broken}: is no" in refused(broken)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "is no .npy file of numbers" in refused(tmp_path / "objects.npy")
    (tmp_path / "empty").mkdir()
    assert "the folder holds no file of arrays" in refused(tmp_path / "empty")
    (tmp_path / "mixed").mkdir()
    save(tmp_path / "mixed" / "a.npy", latents())
    save(tmp_path / "mixed" / "b.npz", latents())
    assert "files of several kinds (.npy, .npz)" in refused(tmp_path / "mixed")
    (tmp_path / "uneven").mkdir()
    save(tmp_path / "uneven" / "a.npy", latents())
    save(tmp_path / "uneven" / "b.npy", latents()[:, :4])
    assert re.search("b.npy has 4 features a row, and .*a.npy 5", refused(tmp_path / "uneven"))


def test_names_within_a_file_are_checked(tmp_path):
    file = save(tmp_path / "latents.npz", latents(), other=latents(), speaker=np.zeros(ROWS), few=np.zeros(3))
    assert "name the array by simulator.key; it has latents (400, 5), other (400, 5)" in refused(file)
    assert "simulator.key=z: " in refused(file, key="z")
    assert "simulator.groups=clip: " in refused(file, key="latents", groups="clip")
    assert "simulator.groups=few: is of the shape (3,)" in refused(file, key="latents", groups="few")
    assert "all rows are of one group" in refused(file, key="latents", groups="speaker")
    plain = save(tmp_path / "latents.npy", latents())
    assert "holds one array without a name" in refused(plain, key="latents")
    assert "name a .npy file beside it" in refused(plain, groups="speaker")
    assert "no such file beside" in refused(plain, groups="speaker.npy")
    assert "simulator.rows=independent denies it" in refused(plain, rows="independent", sequences="clip.npy")


def test_a_run_on_an_array_from_the_command_line(quantbench, tmp_path):
    from quantbench.results.tables import read_results
    from tests.conftest import SMALL

    save(tmp_path / "latents.npy", np.cumsum(latents(2000) - 3, axis=0) % 7)
    small = [word for word in SMALL if not word.startswith("simulator")]
    words = ["simulator=array", "simulator.file=latents.npy", "executor=inline", "references=false", *small]
    code, _, err = quantbench("run", *words)
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    row = read_results(folder).iloc[0]
    assert row["status"] == "completed"
    assert row["context_bits"] > 0  # sequences are known
    code, _, err = quantbench("run", *words, "simulator.file=nowhere.npy")
    assert code == 2
    assert f"simulator.file={tmp_path / 'nowhere.npy'}: no such file" in err
