# SPDX-License-Identifier: Apache-2.0
"""clang-format would change nothing.

check_format.py CLANG_FORMAT SOURCE_ROOT
"""
import pathlib
import subprocess
import sys

FOLDERS = ["include", "lib", "plugins", "examples", "tests", "bindings"]


def main():
    formatter, root = sys.argv[1:]
    files = [
        str(path)
        for folder in FOLDERS
        for pattern in ("*.c", "*.h", "*.hpp", "*.cpp")
        for path in sorted(pathlib.Path(root, folder).rglob(pattern))
    ]
    if not files:
        sys.exit("no files found")
    done = subprocess.run(
        [formatter, "--dry-run", "-Werror", "--ferror-limit=3", *files],
        cwd=root,
        capture_output=True,
        text=True,
    )
    print(f"{len(files)} files")
    print(done.stderr)
    sys.exit(done.returncode)


main()
