#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the Python environments with the peers that libgn2 is measured against: FOLDER
# with versions that stay (salt at its best, the ONNX Runtime of Athena), FOLDER/newest
# with the newest of everything. Prints the versions.
#   setup.sh FOLDER      (about 12 GB; installs nothing where all is there; remove
#                         FOLDER/newest to get what is newest today)
set -eu
folder=${1:?folder of the environments}
stay="torch==2.12.0 salt-ml==0.13.0 onnxruntime==1.25.0 h5py hdf5plugin pyyaml"
newest="torch jax optax onnxruntime openvino onnx onnxscript h5py numpy pyyaml"

# complete PYTHON - PACKAGE[==VERSION] …: prints versions; fails if one is another
complete() {
    "$@" <<'PY'
import importlib.metadata as m, sys
missing, have = False, []
for word in sys.argv[1:]:
    name, _, want = word.partition("==")
    try:
        version = m.version(name).split("+")[0]
    except m.PackageNotFoundError:
        version = None
    missing |= version is None or want not in ("", version)
    have.append(f"{name} {version}")
print(", ".join(have))
sys.exit(missing)
PY
}

# environment FOLDER PACKAGES
environment() {
    [ -x "$1/bin/python" ] || python3 -m venv "$1"
    # shellcheck disable=SC2086 # a list
    complete "$1/bin/python" - $2 >/dev/null || {
        echo "installing $2 into $1"
        "$1/bin/pip" install --quiet $2
    }
    # shellcheck disable=SC2086
    echo "$1: $(complete "$1/bin/python" - $2)"
}

environment "$folder" "$stay"
environment "$folder/newest" "$newest"
