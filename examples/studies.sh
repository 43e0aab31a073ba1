#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The five studies of the parametrisations in their small form, on the sample that
# ships: some minutes on two cores. Runs, tables, figures and verdicts go to one folder;
# killed and started again it goes on where it was.
#
#   examples/studies.sh [BUILD_FOLDER [OUT_FOLDER]]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1-$root/build}
out=${2-$build/studies}
data=$root/examples/data
export GN2_LIBRARY="$build/lib/abi/libgn2.so" PYTHONPATH="$root/bindings/python"

study() {
    printf '\n==== gn2 study %s ====\n' "$1"
    /usr/bin/python3 -m gn2 study "$1" --small "$data/jets_train.h5" \
        -v "$data/jets_val.h5" -o "$out"
}

study coordcheck
study lr
study transfer
study width
study schedule
printf '\nTables, figures and verdicts are in %s\n' "$out"
