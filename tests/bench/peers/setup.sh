#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Python environment with the peers that libgn2 is measured against.
#   setup.sh FOLDER      (about 6 GB; does nothing if FOLDER is complete)
set -eu
folder=${1:?folder of the environment}
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/python" - <<'PY' && exit 0
import importlib.metadata as m, sys
want = {"torch": "2.12.0", "salt-ml": "0.13.0", "onnxruntime": "1.25.0"}
def have(name):
    try:
        return m.version(name).split("+")[0]
    except m.PackageNotFoundError:
        return None
sys.exit(any(have(k) != v for k, v in want.items()))
PY
echo "installing torch 2.12.0, salt-ml 0.13.0 and onnxruntime 1.25.0 into $folder"
"$folder/bin/pip" install --quiet torch==2.12.0 salt-ml==0.13.0 onnxruntime==1.25.0 \
    h5py hdf5plugin pyyaml
