# SPDX-License-Identifier: Apache-2.0
"""Settings of XLA, which have to stand before JAX is imported."""
import os


def set_threads(threads):
    """One thread: products stay in it. Vectors of 512 bits, which are not the default
    and are faster for GN2."""
    flags = ["--xla_cpu_prefer_vector_width=512"]
    if threads == 1:
        flags.append("--xla_cpu_multi_thread_eigen=false")
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])
    os.environ["JAX_PLATFORMS"] = "cpu"
