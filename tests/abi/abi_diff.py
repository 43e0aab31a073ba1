# SPDX-License-Identifier: Apache-2.0
"""abidiff of the library against the committed baseline.

abi_diff.py LIBRARY SOURCE_ROOT
abi_diff.py --update LIBRARY SOURCE_ROOT      writes the baseline anew

A symbol that is added must be in the baseline before the test passes again: run
update_baseline.sh in the commit that adds it.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
# Only what the public headers show and the library exports: what opaque structs hold
# is nobody's business.
DUMP = [
    "--exported-interfaces-only",
    "--drop-private-types",
    "--no-show-locs",
    "--no-corpus-path",
    "--no-comp-dir-path",
]


def tool(name):
    found = shutil.which(name)
    if not found:
        print(f"skipped: {name} is not installed (package abigail-tools)")
        sys.exit(SKIP)
    return found


def dump(library, root, path):
    subprocess.run(
        [
            tool("abidw"),
            *DUMP,
            "--out-file",
            str(path),
            "--suppressions",
            str(root / "tests/abi/private.abignore"),
            library,
        ],
        check=True,
    )


def update(library, root):
    dump(library, root, root / "tests/abi/libgn2.abi")


def check_symbols(baseline, root):
    listed = set((root / "tests/abi/symbols.txt").read_text().split())
    known = set(re.findall(r"elf-symbol name='(gn2_\w+)'", baseline.read_text()))
    if (root / "tests/abi/pending.txt").exists():
        listed &= known  # the first interface is still being written
    if listed != known:
        sys.exit(
            f"baseline and symbols.txt differ: {sorted(listed ^ known)}; "
            "run tests/abi/update_baseline.sh"
        )


def growing(root):
    return ["--no-added-syms"] if (root / "tests/abi/pending.txt").exists() else []


def compare(library, root):
    """Dump against dump: abidiff cannot tell public from opaque in a dump."""
    baseline = root / "tests/abi/libgn2.abi"
    check_symbols(baseline, root)
    with tempfile.TemporaryDirectory() as folder:
        now = pathlib.Path(folder, "now.abi")
        dump(library, root, now)
        done = subprocess.run(
            [
                tool("abidiff"),
                *growing(root),
                "--suppressions",
                str(root / "tests/abi/gn2.abignore"),
                str(baseline),
                str(now),
            ],
            capture_output=True,
            text=True,
        )
    print(done.stdout + done.stderr)
    print(f"abidiff: status {done.returncode}")
    sys.exit(done.returncode != 0)


def main():
    arguments = sys.argv[1:]
    act = update if arguments[0] == "--update" else compare
    library, root = arguments[-2:]
    act(library, pathlib.Path(root).resolve())


main()
