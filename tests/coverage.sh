#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints how many of the lines of lib/ the tests run, by room and in all, and with the
# word `python` those of the Python package. Not part of CI: that a line ran does not
# mean that it was checked. Builds go to build-tests/coverage.
#
#   tests/coverage.sh               suites unit data tagger train props abi golden
#   tests/coverage.sh SUITE...      these, e.g. unit python
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/build-tests/coverage
mkdir -p "$root/build-tests" || exit 1
status=0

build() {
    if [ ! -f "$folder/build.ninja" ]; then
        meson setup "$folder" "$root" -Dbuildtype=debug -Doptimization=1 \
            -Db_coverage=true || return 1
    fi
    ninja -C "$folder" || return 1
    # of an earlier run, or of an earlier build
    find "$folder" -name '*.gcda' -delete
}

# run_suites SUITE...: programs only; scripts look at files, not at the library.
run_suites() {
    for suite in "$@"; do
        set -- "$@" --suite "$suite"
        shift
    done
    meson test -C "$folder" --no-rebuild --logbase coverage "$@" --no-suite script \
        --no-suite slow --no-suite bench --timeout-multiplier 10 </dev/null || status=1
}

run_python() {
    (
        cd "$root/tests/python" || exit 1
        export GN2_LIBRARY="$folder/lib/abi/libgn2.so.0" GN2_SHARED="$root/../shared"
        export PYTHONPATH="$root/bindings/python" PYTHONDONTWRITEBYTECODE=1
        export COVERAGE_FILE="$folder/python.coverage"
        python=${GN2_TEST_PYTHON:-/usr/bin/python3}
        "$python" -m coverage run --source "$root/bindings/python/gn2" \
            -m pytest -q -p no:cacheprovider --ignore test_speed.py . || failed=1
        "$python" -m coverage report
        exit ${failed-0}
    ) || status=1
}

main() {
    [ $# -gt 0 ] || set -- unit data tagger train props abi golden
    python=
    for suite in "$@"; do
        shift
        if [ "$suite" = python ]; then python=yes; else set -- "$@" "$suite"; fi
    done
    build >"$folder.log" 2>&1 || {
        tail -n 40 "$folder.log"
        exit 1
    }
    if [ $# -gt 0 ]; then run_suites "$@"; fi
    if [ "$python" ]; then run_python; fi
    python3 "$root/tests/coverage.py" "$root" "$folder" || status=1
    exit $status
}

main "$@"
