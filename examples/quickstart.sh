#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a fresh clone to a trained tagger and its scores: installs what is missing
# (Debian), builds to ./build, trains a GN2 of width 64 on examples/data and tags the
# test part with it. Takes a few minutes on two cores, most of them for the build.
#
#   examples/quickstart.sh [BUILD_FOLDER]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1-$root/build}
data=$root/examples/data
. "$root/examples/setup.sh"

step() {
    printf '\n==== %s ====\n' "$*"
}

step "1/5 packages: what is missing is installed by apt-get"
gn2_install "$GN2_PACKAGES_BUILD $GN2_PACKAGES_PICTURES"

step "2/5 build in $build"
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dtests=false
ninja -C "$build"
out=$build/quickstart
mkdir -p "$out"

# Dropout keeps the network from learning nine thousand jets by heart.
step "3/5 train on 9,000 jets, validate on 1,500"
"$build/examples/train" "$data/jets_train.h5" --val "$data/jets_val.h5" \
    --output "$out/gn2.gn2" --epochs 15 \
    model.embed_dim=64 model.init_hidden=64 data.batch_size=100 \
    model.dropout_init=0.1 model.dropout_ffn=0.1 model.dropout_heads=0.1 \
    schedule.max=1e-3 schedule.pct_start=0.1 provenance.comment=quickstart

step "4/5 tag 2,500 other jets"
"$build/examples/tag" "$out/gn2.gn2" "$data/jets_test.h5" --output "$out/scores.h5"

step "5/5 pictures and report"
export GN2_LIBRARY="$build/lib/abi/libgn2.so" PYTHONPATH="$root/bindings/python"
/usr/bin/python3 -m gn2 plot "quickstart=$out/gn2.gn2" --data "$data/jets_test.h5" \
    --out "$out/pictures"

cat <<END

What you have now:
  $out/gn2.gn2     the model
  $out/scores.h5   the scores of jets_test.h5
  $out/pictures/report.html
                   ROC curves, discriminants, efficiencies, vertexing: open it
  $build/examples  train, tag (both know --help) and the smaller examples
Next: README.md; $root/examples/studies.sh, what a parametrisation
does, in some minutes; \`meson install -C $build\` puts the library into the system.
END
