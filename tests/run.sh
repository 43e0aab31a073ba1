#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds libgn2 in every way it is tested in and runs the tests of each. The last line
# is `N passed, N failed, N skipped`, counted from meson's own logs; the status is 0
# only if nothing failed. Builds go to build-tests/, which may be removed.
#
#   tests/run.sh            everything
#   tests/run.sh --quick    release build with gcc only
#   tests/run.sh STAGE...   some of: release lint debug sanitize threads valgrind
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
builds=$root/build-tests
results=$builds/results
. "$root/examples/setup.sh"

say() {
    printf '\n==== %s ====\n' "$*"
}

# report STAGE PASSED FAILED SKIPPED
report() {
    echo "$*" >>"$results"
    echo "$1: $2 passed, $3 failed, $4 skipped"
}

# count STAGE LOG: adds up the results of one `meson test` run.
count() {
    set -- "$1" $(python3 - "$2" <<'PY'
import json, os, sys
passed = failed = skipped = 0
if os.path.exists(sys.argv[1]):
    for line in open(sys.argv[1]):
        result = json.loads(line)["result"]
        passed += result in ("OK", "EXPECTEDFAIL")
        skipped += result == "SKIP"
        failed += result not in ("OK", "EXPECTEDFAIL", "SKIP", "IGNORED")
# a stage in which nothing ran has shown nothing
print(passed, failed if passed + failed else 1, skipped)
PY
    )
    report "$@"
}

# build STAGE COMPILER [meson option...]
build() {
    stage=$1 compiler=$2
    shift 2
    folder=$builds/$stage
    say "$stage: build with $compiler $*"
    : >"$folder.log"
    if [ ! -f "$folder/build.ninja" ]; then
        rm -rf "$folder"
        CC=$compiler CXX=$(cxx_of "$compiler") \
            meson setup "$folder" "$root" "$@" >>"$folder.log" 2>&1 || return 1
    fi
    ninja -k 0 -C "$folder" >>"$folder.log" 2>&1
}

cxx_of() {
    case $1 in gcc) echo g++ ;; *) echo "$1++" ;; esac
}

# run_tests STAGE FOLDER [meson test argument...]
run_tests() {
    stage=$1 folder=$2
    shift 2
    say "$stage: tests"
    log=$folder/meson-logs/$stage.json
    rm -f "$log"
    meson test -C "$folder" --no-rebuild --print-errorlogs --logbase "$stage" "$@" \
        </dev/null
    [ -f "$log" ] || log=$(ls "$folder/meson-logs/$stage"-*.json 2>/dev/null | head -1)
    count "$stage" "$log"
}

# stage STAGE TEST-ARGUMENTS COMPILER [meson option...]
stage() {
    name=$1 test_arguments=$2
    shift 2
    if build "$name" "$@"; then
        # the words of test_arguments are meant to be split
        run_tests "$name" "$builds/$name" $test_arguments
    else
        tail -n 40 "$builds/$name.log"
        report "$name" 0 1 0
    fi
}

# Timings under a sanitizer say nothing; sources are checked once.
not_here="--no-suite slow --no-suite bench --no-suite src --no-suite script"

run_release() {
    stage release "--no-suite bench --no-suite lint" gcc -Dwerror=true
}

# clang-tidy, mypy, black; clang-tidy sees the sources as the release build does.
run_lint() {
    if ! build release gcc -Dwerror=true; then
        tail -n 40 "$builds/release.log"
        report lint 0 1 0
        return
    fi
    run_tests lint "$builds/release" --suite lint
}

run_debug() {
    stage debug "$not_here --no-suite python" gcc \
        -Dbuildtype=debug -Doptimization=1 -Dwerror=true
}

run_sanitize() {
    export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
    # the gradients are sums of doubles, minutes of them, through code props runs too
    stage sanitize "$not_here --no-suite python --no-suite grad -t 4" clang \
        -Dbuildtype=debug -Doptimization=1 -Dwerror=true \
        -Db_sanitize=address,undefined -Db_lundef=false
    unset ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
}

run_threads() {
    export TSAN_OPTIONS=halt_on_error=1:suppressions=$root/tests/tsan.supp
    stage threads "--suite threads -t 4" clang -Dbuildtype=debug -Doptimization=1 \
        -Db_sanitize=thread -Db_lundef=false
    unset TSAN_OPTIONS
}

run_valgrind() {
    if ! build release gcc; then
        tail -n 40 "$builds/release.log"
        report valgrind 0 1 0
        return
    fi
    run_tests valgrind "$builds/release" --setup valgrind \
        --suite unit --suite memory --suite abi --no-suite script --no-suite slow \
        --no-suite allocator
}

# The one line that ends every run.
finish() {
    awk '{ p += $2; f += $3; s += $4 }
        END { printf "%d passed, %d failed, %d skipped\n", p, f, s
            exit f > 0 || !p }' \
        "$results"
}

main() {
    case ${1-} in
    '') stages="release lint debug sanitize threads valgrind" ;;
    --quick) stages=release ;;
    *) stages=$* ;;
    esac
    for name in $stages; do
        case $name in
        release | lint | debug | sanitize | threads | valgrind) ;;
        *) echo "no such stage: $name" >&2 && exit 2 ;;
        esac
    done
    mkdir -p "$builds"
    : >"$results"
    gn2_install "$GN2_PACKAGES_TEST" || echo "some packages could not be installed"
    gn2_mpi "$builds/mpi" || echo "no MPI: its tests will be skipped"
    if gn2_onnx_python "$builds/venv"; then
        export GN2_TEST_PYTHON="$builds/venv/bin/python"
    else
        echo "no onnx from PyPI: its tests will be skipped"
    fi
    if gn2_clients_python "$builds/clients"; then
        export GN2_TRITON_PYTHON="$builds/clients/bin/python"
    else
        echo "no tritonclient from PyPI: its tests will be skipped"
    fi
    for name in $stages; do
        "run_$name"
    done
    say results
    finish
}

main "$@"
