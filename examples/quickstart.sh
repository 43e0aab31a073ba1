#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a trained tagger and its scores: installs what is missing
# (Debian), builds to ./build, trains a small GN2 on examples/data, tags with it.
#
#   examples/quickstart.sh [BUILD_FOLDER]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1-$root/build}
out=$build/quickstart
. "$root/examples/setup.sh"

gn2_install "$GN2_PACKAGES_BUILD"
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dtests=false
ninja -C "$build"
mkdir -p "$out"
