# SPDX-License-Identifier: Apache-2.0
"""Files of every packing give what h5py reads of them, and leave h5py as it was."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import gn2

h5py = pytest.importorskip("h5py")

ROWS, SLOTS = 130, 11
OPTIONS = {
    "inputs.jets": ["pt_btagJes", "eta_btagJes"],
    "inputs.tracks": ["d0", "z0SinTheta"],
    "model.tasks": ["jets_classification"],
    "data.sampling": "sequential",
    "data.batch_size": 37,
}


def records(kind="<f4"):
    rng = np.random.default_rng(5)
    jets = np.zeros(ROWS, [("pt_btagJes", kind), ("eta_btagJes", kind)])
    tracks = np.zeros(
        (ROWS, SLOTS), [("d0", kind), ("z0SinTheta", kind), ("valid", "?")]
    )
    for table in (jets, tracks):
        for name in table.dtype.names:
            table[name] = rng.normal(size=table.shape)
    tracks["valid"] = rng.random(tracks.shape) < 0.3
    return jets, tracks


def write(path, jets, tracks, chunks=None, **packing):
    with h5py.File(path, "w") as file:
        file.create_dataset("jets", data=jets)
        chunks = chunks or (50, SLOTS)
        file.create_dataset("tracks", data=tracks, chunks=chunks, **packing)
    return path


def read(path, **options):
    with gn2.Dataset(path, {**OPTIONS, **options}) as data:
        batches = list(data)
    jets = np.concatenate([b.jets for b in batches])
    return jets, np.concatenate([b.tracks.values for b in batches])


def check(path, jets, tracks, **options):
    got = read(path, **options)
    valid = tracks[tracks["valid"]]
    for found, table in zip(got, (jets, valid)):
        for column, name in enumerate(table.dtype.names[:2]):
            assert (found[:, column] == table[name].astype("f4")).all()


@pytest.mark.parametrize("chunks", [(50, SLOTS), (1, 1), (32, 4), (200, SLOTS + 3)])
@pytest.mark.parametrize(
    "packing",
    [
        {"compression": "lzf"},
        {"compression": "lzf", "shuffle": True, "fletcher32": True},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"shuffle": True},
        {"fletcher32": True},
        {},
    ],
    ids=lambda packing: "-".join(packing) or "plain",
)
def test_every_packing_gives_the_same(tmp_path, packing, chunks):
    jets, tracks = records()
    maxshape = (None, None) if chunks[1] > SLOTS else None
    path = write(tmp_path / "f.h5", jets, tracks, chunks, maxshape=maxshape, **packing)
    check(path, jets, tracks)


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f2", "<f8"])
def test_numbers_of_other_machines(tmp_path, kind):
    jets, tracks = records(kind)
    check(write(tmp_path / "f.h5", jets, tracks, compression="lzf"), jets, tracks)


def test_few_fields_of_many_and_text_among_them(tmp_path):
    jets, tracks = records()
    more = [(f"x{i}", "f8") for i in range(30)] + [("process", h5py.string_dtype())]
    wide = np.zeros(tracks.shape, more[:30] + tracks.dtype.descr + more[30:])
    for name in tracks.dtype.names:
        wide[name] = tracks[name]
    wide["process"] = "ttbar"
    path = write(tmp_path / "f.h5", jets, wide, compression="lzf")
    check(path, jets, tracks)


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path):
    jets, tracks = records()
    fill = np.array((1.5, -2.5, True), tracks.dtype)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["jets"] = jets
        table = file.create_dataset(
            "tracks",
            tracks.shape,
            tracks.dtype,
            chunks=(50, 6),
            compression="lzf",
            fillvalue=fill,
        )
        table[50:100, :6] = tracks[50:100, :6]
    want = np.full(tracks.shape, fill)
    want[50:100, :6] = tracks[50:100, :6]
    check(tmp_path / "f.h5", jets, want, **{"data.unwritten": "keep"})


def test_virtual_tables_of_packed_ones(tmp_path):
    jets, tracks = records()
    layouts = {}
    for name, table in (("jets", jets), ("tracks", tracks)):
        layouts[name] = h5py.VirtualLayout(table.shape, table.dtype)
        for start, end in ((0, 60), (60, ROWS)):
            path = tmp_path / f"part{start}.h5"
            with h5py.File(path, "a") as file:
                part = table[start - (start > 0) * 5 : end]  # five rows too many
                file.create_dataset(name, data=part, compression="lzf")
                source = h5py.VirtualSource(file[name])
            layouts[name][start:end] = source[len(part) - (end - start) :]
    with h5py.File(tmp_path / "whole.h5", "w", libver="latest") as file:
        for name, layout in layouts.items():
            file.create_virtual_dataset(name, layout)
    check(tmp_path / "whole.h5", jets, tracks)
    check(tmp_path / "whole.h5", jets, tracks)


def test_h5py_packs_as_before(tmp_path):
    jets, tracks = records()
    path = write(tmp_path / "a.h5", jets, tracks, compression="lzf")
    before = [h5py.h5z.filter_avail(id) for id in (32000, 32004)]
    with h5py.File(path):  # open at the same time, by the same HDF5
        check(path, jets, tracks)
    with gn2.Dataset(path, OPTIONS) as data:
        next(iter(data))
        with h5py.File(path) as file:
            assert (file["tracks"][:] == tracks).all()
    assert [h5py.h5z.filter_avail(id) for id in (32000, 32004)] == before
    again = write(tmp_path / "b.h5", jets, tracks, compression="lzf")
    with h5py.File(again) as file:
        assert (file["tracks"][:] == tracks).all()


def overwrite_chunk(path, payload, mask=0, **packing):
    """A file whose only chunk of tracks is the payload."""
    jets, tracks = records()
    write(path, jets, tracks, chunks=tracks.shape, **packing)
    with h5py.File(path, "r+") as file:
        file["tracks"].id.write_direct_chunk((0, 0), payload, mask)
    return path


@pytest.mark.parametrize(
    "packing, payload, mask",
    [
        ({"compression": "lzf"}, b"\x13" + bytes(20), 0),
        ({"compression": "lzf"}, b"", 1),
        ({"compression": "lzf"}, bytes(100), 1),
        ({"compression": "gzip"}, bytes.fromhex("789c6360a03d0000006e0001"), 0),
        ({"compression": "gzip", "shuffle": True}, b"no deflate at all", 0),
        ({"shuffle": True}, bytes(77), 0),
        ({"fletcher32": True}, bytes(3), 0),
        ({"fletcher32": True}, b"\1" + bytes(ROWS * SLOTS * 9 + 3), 0),
    ],
)
def test_a_short_chunk_is_damaged(tmp_path, packing, payload, mask):
    if not payload:
        pytest.skip("HDF5 takes no empty chunk")
    path = overwrite_chunk(tmp_path / "f.h5", payload, mask, **packing)
    with pytest.raises(gn2.FormatError, match="'tracks'.*row 0 is damaged"):
        read(path)


def test_a_filter_without_plugin_is_named_with_the_way_out(tmp_path):
    jets, tracks = records()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["jets"] = jets
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(tracks.shape)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        kind = h5py.h5t.py_create(tracks.dtype, logical=True)
        space = h5py.h5s.create_simple(tracks.shape)
        h5py.h5d.create(file.id, b"tracks", kind, space, plist)
    with pytest.raises(gn2.FormatError) as raised:
        read(tmp_path / "f.h5")
    text = str(raised.value)
    assert "'tracks'" in text and "32015 (Zstandard)" in text
    assert text.index("HDF5_PLUGIN_PATH") < text.index("h5repack -f GZIP=4")


@pytest.mark.parametrize("slots", [2**25, 2**31, 2**61, 2**63 - 1])
def test_rows_that_no_memory_holds_are_refused_at_once(tmp_path, slots):
    jets, tracks = records()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["jets"] = jets
        kind = tracks.dtype.descr + [(f"x{i}", "f8") for i in range(4)]
        file.create_dataset("tracks", (ROWS, slots), kind, chunks=(1, 40))
    with pytest.raises(gn2.FormatError, match=f"rows of {slots} slots"):
        gn2.Dataset(tmp_path / "f.h5", OPTIONS)


def test_so_many_rows_are_refused(tmp_path):
    jets, tracks = records()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("jets", (2**62,), jets.dtype, chunks=(100,))
        file.create_dataset(
            "tracks", (2**62, SLOTS), tracks.dtype, chunks=(100, SLOTS)
        )
    with pytest.raises(gn2.FormatError, match="'jets' has 4611686018427387904 rows"):
        gn2.Dataset(tmp_path / "f.h5", OPTIONS)


def test_a_killed_writer_is_told_apart_from_damage_and_cleared(tmp_path):
    jets, tracks = records()
    path = write(tmp_path / "f.h5", jets, tracks)
    code = f"""if True:
        import h5py, os
        with h5py.File({str(path)!r}, "r") as f:
            jets, tracks = f["jets"][:], f["tracks"][:]
        f = h5py.File({str(path)!r}, "w", libver="latest")
        f["jets"], f["tracks"] = jets, tracks
        f.flush()
        os.kill(os.getpid(), {signal.SIGKILL})"""
    subprocess.run([sys.executable, "-c", code], check=False)
    with pytest.raises(gn2.FileError, match="marked as open for writing") as raised:
        read(path)
    advice = str(raised.value).split(" run ")[1]
    assert advice == f"h5clear -s {path}"
    if subprocess.run(["which", "h5clear"], capture_output=True).returncode == 0:
        subprocess.run(advice.split(), check=True)
        check(path, jets, tracks)


def test_a_file_that_h5py_writes_is_not_called_damaged(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest"):
        with pytest.raises(gn2.FileError, match="open for writing, in this or another"):
            read(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_drops_what_its_parent_reads(tmp_path):
    jets, tracks = records()
    path = write(tmp_path / "f.h5", jets, tracks, compression="lzf")
    data = gn2.Dataset(path, OPTIONS)
    rows = iter(data)
    first = next(rows).jets.copy()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        rest = [batch.jets.copy() for batch in rows]  # it goes on where it stood
        whole = np.concatenate([first, *rest])
        del rows, data
        os._exit(0 if len(whole) == ROWS else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert sum(len(batch.jets) for batch in rows) == ROWS - len(first)


def test_a_damaged_heap_of_texts_ends_in_finite_time(tmp_path):
    """In a process of its own: HDF5 would go round in it with its lock held."""
    jets, tracks = records()
    labelled = np.zeros(ROWS, jets.dtype.descr + [("flavour_label", "i4")])
    path = write(tmp_path / "f.h5", labelled, tracks)
    with h5py.File(path, "r+") as file:
        names = ["bjets", "cjets", "ujets", "taujets"]
        file["jets"].attrs["flavour_label"] = np.array(names, object)
    content = path.read_bytes()
    paths = []
    for at in range(0, 120, 8):
        for garbage in (bytes(32), b"\xff" * 8):
            damaged, start = bytearray(content), content.index(b"GCOL") + at
            damaged[start : start + len(garbage)] = garbage
            paths.append(str(tmp_path / f"{at}-{garbage[0]}.h5"))
            (tmp_path / paths[-1]).write_bytes(damaged)
    code = f"""if True:
        import gn2
        for path in {paths!r}:
            try: list(gn2.Dataset(path, {OPTIONS!r}))
            except (gn2.FormatError, gn2.OutOfMemory) as error: print(error)"""
    python = [sys.executable, "-c", code]
    done = subprocess.run(python, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the heap of texts at byte" in done.stdout
    assert "out of memory" not in done.stdout.replace(
        "out of memory, or a size in the file is damaged", ""
    )
