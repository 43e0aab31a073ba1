#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every benchmark of one build, one after the other, and the peers if there is an
# environment for them (peers/setup.sh). About an hour, the first time
# some ten minutes more (PyTorch compiles); the machine should have nothing else to do:
# its load is printed in between.
#   all.sh BUILD [ENV]       BUILD: build folder; ENV: folder given to peers/setup.sh
set -eu
build=$(cd "${1:?build folder}" && pwd)
env=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
shared=${GN2_SHARED:-$root/../shared}
export GN2_SHARED="$shared"

section() {
    echo
    echo "== $* (load: $(cut -d ' ' -f 1-3 /proc/loadavg))"
}

grep -m 1 'model name' /proc/cpuinfo || true
section products, own and oneDNN
"$build/tests/bench/bench_product"
section the pool of threads
"$build/tests/bench/bench_threads"
section training
"$build/tests/bench/bench_train"
section training on many cores, by a model
for width in 64 256; do
    for batch in 500 4000; do
        "$build/tests/bench/bench_cores" -w $width -b $batch
    done
done
section tagging
"$build/tests/bench/bench_infer" --long
section reading
"$build/tests/bench/bench_read"
"$build/tests/bench/bench_read" -t 2
[ -n "$env" ] || exit 0
section training against salt and PyTorch
"$env/bin/python" "$here/peers/compare_training.py" --python "$env/bin/python" \
    --data "$shared/data" --bench "$build/tests/bench/bench_train"
section tagging against ONNX Runtime and PyTorch
"$env/bin/python" -W ignore "$here/peers/compare_inference.py" --shared "$shared" \
    --build "$build" --widths 64,256
section widths without an export of salt
"$env/bin/python" -W ignore "$here/peers/compare_inference.py" --shared "$shared" \
    --build "$build" --widths 16,128,512 --parts one,event
newest=$env/newest/bin/python
section the strongest peers, newest versions
if [ -x "$newest" ]; then
    "$newest" -W ignore "$here/peers/all_peers.py" --shared "$shared" --build "$build" \
        --stock "$env/bin/python"
else
    echo "skipped: no $newest (peers/setup.sh makes it)"
fi
