# SPDX-License-Identifier: Apache-2.0
"""The jets that all sides see, and batches of them for those that pad. Needs NumPy and
h5py alone: a side brings nothing of another's into its process."""
import h5py
import numpy as np

JETS = ["pt_btagJes", "eta_btagJes"]
TRACKS = """d0 z0SinTheta dphi deta qOverP lifetimeSignedD0Significance
lifetimeSignedZ0SinThetaSignificance phiUncertainty thetaUncertainty qOverPUncertainty
numberOfPixelHits numberOfSCTHits numberOfInnermostPixelLayerHits
numberOfNextToInnermostPixelLayerHits numberOfInnermostPixelLayerSharedHits
numberOfInnermostPixelLayerSplitHits numberOfPixelSharedHits numberOfPixelSplitHits
numberOfSCTSharedHits""".split()


class Sample:
    """The first jets of a file: features (B, 2), one array (n, 19) a jet."""

    def __init__(self, path, count):
        with h5py.File(path) as file:
            jets, tracks = file["jets"][:count], file["tracks"][:count]
        self.jets = np.stack([jets[k] for k in JETS], 1).astype("f4")
        values = np.stack([tracks[k] for k in TRACKS], -1).astype("f4")
        valid = tracks["valid"].astype(bool)
        self.tracks = [np.ascontiguousarray(v[m]) for v, m in zip(values, valid)]
        self.all = np.concatenate(self.tracks)
        self.offsets = np.cumsum([0] + [len(t) for t in self.tracks], dtype=np.int64)
        self.labels = jets["flavour_label"]

    def fixed(self, n):
        return self.jets[:1], np.ascontiguousarray(self.all[:n])


def padded(sample, size, order):
    """Batches of `size` jets, padded to their longest."""
    lengths = np.diff(sample.offsets)
    index = (
        np.argsort(lengths, kind="stable")
        if order == "sorted"
        else np.arange(len(lengths))
    )
    batches = []
    for k in (index[i : i + size] for i in range(0, len(index), size)):
        longest = max(1, lengths[k].max())
        x = np.zeros((len(k), longest, len(TRACKS)), "f4")
        pad = np.ones((len(k), longest), bool)
        for row, i in enumerate(k):
            x[row, : lengths[i]], pad[row, : lengths[i]] = sample.tracks[i], False
        batches.append({"jets": sample.jets[k], "tracks": x, "pad": pad})
    return batches, index
