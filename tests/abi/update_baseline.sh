#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes tests/abi/libgn2.abi anew from a fresh gcc build with debug information.
# To be run, and its result committed, with a change that adds to the interface.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build-baseline
rm -rf "$build"
CC=gcc meson setup "$build" "$root" -Dtests=false -Dexamples=false >/dev/null
ninja -C "$build" >/dev/null
python3 "$root/tests/abi/abi_diff.py" --update \
    "$(readlink -f "$build/lib/abi/libgn2.so")" "$root"
rm -rf "$build"
