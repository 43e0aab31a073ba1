# SPDX-License-Identifier: Apache-2.0
"""The MPIs that the scripts of this folder run with: a compiler and a launcher each,
a libgn2_mpi of its own, and what mpirun must be told on a small machine.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
#: Open MPI 4 and 5: on few processors, and by root
ALLOW = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
#: Debian's, which may both be installed
USUAL = (
    "openmpi=/usr/bin/mpicc.openmpi,/usr/bin/mpirun.openmpi",
    "mpich=/usr/bin/mpicc.mpich,/usr/bin/mpirun.mpich",
)


def parser(doc):
    found = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("build", help="build folder")
    found.add_argument(
        "--mpi",
        action="append",
        metavar="NAME=CC,RUN",
        help="an MPI by compiler and launcher; several times (default: Debian's)",
    )
    found.add_argument("-o", "--out", help="folder for runs (a temporary one)")
    return found


@contextlib.contextmanager
def folder_of(args):
    """The folder for runs, made."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.out or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def environment(build):
    """Of a process that takes gn2 from a build folder, without MPI."""
    return {
        **os.environ,
        "GN2_LIBRARY": str(pathlib.Path(build).resolve() / "lib/abi/libgn2.so"),
        "PYTHONPATH": str(ROOT / "bindings" / "python"),
        "OMP_NUM_THREADS": "1",
    }


def alone(command):
    """What runs a Python command without MPI."""
    return [sys.executable, *map(str, command)]


class Mpi:
    """One MPI, its plugin built into a folder."""

    def __init__(self, word, build, folder):
        name, _, programs = word.partition("=")
        compiler, _, self.run = programs.partition(",")
        if not (shutil.which(compiler) and shutil.which(self.run)):
            raise FileNotFoundError(f"{name}: no {compiler} and {self.run}")
        library = pathlib.Path(build).resolve() / "lib" / "abi"
        plugin = folder / f"libgn2_mpi-{name}.so"
        words = [compiler, "-shared", "-fPIC", "-O2", "-D_POSIX_C_SOURCE=200809L"]
        words += [f"-I{ROOT / 'include'}", ROOT / "plugins" / "mpi" / "gn2_mpi.c"]
        words += ["-o", plugin, f"-L{library}", "-lgn2", f"-Wl,-rpath,{library}"]
        subprocess.run(words, check=True)
        said = subprocess.run([self.run, "--version"], capture_output=True, text=True)
        version = re.search(r"\d+\.\d+\.\d+|\d+\.\d+", said.stdout)
        self.name = name
        self.version = f"{name} {version.group() if version else '?'}"
        self.env = {**environment(build), **ALLOW, "GN2_MPI_LIBRARY": str(plugin)}

    def words(self, ranks, command):
        """What runs a Python command with so many ranks."""
        return [self.run, "-n", str(ranks), *alone(command)]


def there(args, folder):
    """The MPIs that are there; one that is not is told of."""
    found = []
    for word in args.mpi or USUAL:
        try:
            found.append(Mpi(word, args.build, folder))
        except FileNotFoundError as problem:
            print(f"skipped: {problem}", file=sys.stderr)
    return found


def all_of(args, folder):
    """Those that are there, one at least."""
    found = there(args, folder)
    if not found:
        sys.exit("no MPI at all")
    return found


def fit_words(out, options):
    """`gn2 fit` of the sample, with options."""
    words = ["-m", "gn2", "fit", DATA / "jets_train.h5", "-v", DATA / "jets_val.h5"]
    words += ["-o", out, "-q", "--no-report"]
    return [*map(str, words), *(f"{key}={value}" for key, value in options.items())]
