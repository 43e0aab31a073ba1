# SPDX-License-Identifier: Apache-2.0
"""Lines of lib/ that ran, by room, from the counts a build with gcov left behind.

coverage.py SOURCE_ROOT BUILD_ROOT

A line that is compiled several times, in both precisions or for several instruction
sets, has run if it has in one of them.
"""

import collections
import json
import pathlib
import subprocess
import sys

#: files a call of gcov
BLOCK = 20


def counts(notes, build):
    """(file, line, times it ran) of what was compiled."""
    for start in range(0, len(notes), BLOCK):
        some = [str(path) for path in notes[start : start + BLOCK]]
        command = ["gcov", "--json-format", "--stdout", *some]
        done = subprocess.run(command, cwd=build, capture_output=True, text=True)
        for text in filter(None, done.stdout.splitlines()):
            for file in json.loads(text)["files"]:
                path = (build / file["file"]).resolve()
                for line in file["lines"]:
                    yield path, line["line_number"], line["count"]


def rooms(root, build):
    """{room: {(file, line): whether it ran}}."""
    found = collections.defaultdict(dict)
    notes = sorted((build / "lib").rglob("*.gcno"))
    for path, line, count in counts(notes, build):
        if path.is_relative_to(root / "lib"):
            lines = found[path.relative_to(root / "lib").parts[0]]
            lines[path, line] = lines.get((path, line), False) or count > 0
    return found


def row(name, lines):
    ran, total = sum(lines.values()), len(lines)
    print(f"{name:10} {total:7} {ran:7} {100 * ran / total:6.1f} %")


def main():
    root, build = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    found = rooms(root, build)
    if not found:
        sys.exit("no counts of gcov found")
    print(f"{'room':10} {'lines':>7} {'ran':>7} {'':>6} ")
    for name in sorted(found):
        row(name, found[name])
    row("lib", {at: ran for lines in found.values() for at, ran in lines.items()})


main()
