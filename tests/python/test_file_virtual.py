# SPDX-License-Identifier: Apache-2.0
"""Virtual datasets whose sources are not as the whole is."""

import numpy as np
import pytest

import gn2

h5py = pytest.importorskip("h5py")

JET = np.dtype([("pt_btagJes", "f4"), ("eta_btagJes", "f4")])
SLOT = np.dtype([("d0", "f4"), ("valid", "?")])
OPTIONS = {
    "inputs.jets": JET.names,
    "inputs.tracks": ["d0"],
    "data.batch_size": 10,
    "data.sampling": "sequential",
}


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


@pytest.mark.parametrize("levels", [1, 2])
def test_rows_that_a_source_has_not_written_are_missed_in_a_virtual_file(
    tmp_path, levels
):
    """The source's fill value is not the virtual dataset's; parts in any order."""
    part = tmp_path / "part.h5"
    with h5py.File(part, "w") as file:
        fill = np.array((5, 5), JET)
        jets = file.create_dataset("jets", (40,), JET, chunks=(40,), fillvalue=fill)
        jets[:20] = np.array([(i, 1) for i in range(20)], JET)
        file["tracks"] = np.zeros((40, 3), SLOT)
    for level in range(levels):
        whole = tmp_path / f"whole{level}.h5"
        with h5py.File(whole, "w", libver="latest") as file:
            for name, shape, dtype in (
                ("jets", (40,), JET),
                ("tracks", (40, 3), SLOT),
            ):
                layout = h5py.VirtualLayout(shape, dtype)
                for rows in (slice(20, 40), slice(0, 20)):
                    layout[rows] = h5py.VirtualSource(part, name, shape)[rows]
                file.create_virtual_dataset(name, layout)
        part = whole
    with pytest.raises(gn2.FormatError, match="row 20: never written"):
        list(gn2.Dataset(part, OPTIONS))
    kept = list(gn2.Dataset(part, {**OPTIONS, "data.unwritten": "keep"}))
    pt = np.concatenate([batch.jets[:, 0] for batch in kept])
    assert (pt == np.concatenate([np.arange(20), np.full(20, 5)])).all()


def test_sources_of_three_dimensions_give_their_rows_or_are_refused(tmp_path):
    jets = np.array([(i, 1) for i in range(1, 41)], JET)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.create_dataset("jets", data=jets.reshape(4, 5, 2), chunks=(2, 5, 1))
    layout = h5py.VirtualLayout((20,), JET)
    layout[:] = h5py.VirtualSource(tmp_path / "part.h5", "jets", (4, 5, 2))[1:3]
    with h5py.File(tmp_path / "whole.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("jets", layout)
        file["tracks"] = np.zeros((20, 3), SLOT)
    batches = list(gn2.Dataset(tmp_path / "whole.h5", OPTIONS))
    pt = np.concatenate([batch.jets[:, 0] for batch in batches])
    assert (pt == np.arange(11, 31)).all()
