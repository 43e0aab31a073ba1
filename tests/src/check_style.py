# SPDX-License-Identifier: Apache-2.0
"""What a formatter does not see: length of files and lines, heads, guards, versions.

check_style.py SOURCE_ROOT
"""
import pathlib
import re
import subprocess
import sys

MOST_LINES = 500
MOST_COLUMNS = 88
CODE = {".c", ".h", ".hpp", ".cpp", ".py", ".sh", ".build"}
FORBIDDEN = {
    r"\bTODO\b(?!\(#\d+\))|\bFIXME\b|\bXXX\b": "unfinished work belongs into an issue",
    r"/work/|/home/\w|/root/": "a path of somebody's machine",
    r"[ \t]+$": "blanks at the end of the line",
    r"\t": "tab",
}
# what only the library's own code must not hold
FORBIDDEN_IN_LIB = {
    r"-ffast-math|__attribute__\(\(optimize": "masks and NaN need IEEE arithmetic",
    r"\balloca\b|\bsetjmp\b": "not in the library",
    r"\b(malloc|calloc|realloc|free|strdup)\(": "memory comes from util/alloc.h",
}
MAY_ALLOCATE = {"lib/util/alloc.c"}


def tracked(root):
    try:
        done = subprocess.run(
            ["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
        )
        names = done.stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):  # an unpacked release
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        names = [n for n in names if not re.match(r"build|\.", n)]
    return [n for n in names if n and (root / n).is_file()]


def is_code(name):
    path = pathlib.PurePath(name)
    return path.suffix in CODE or path.name == "run"


def check_lines(name, lines):
    if len(lines) > MOST_LINES:
        yield f"{name}: {len(lines)} lines, at most {MOST_LINES}"
    forbidden = dict(FORBIDDEN)
    if name.startswith("lib/") and name not in MAY_ALLOCATE:
        forbidden.update(FORBIDDEN_IN_LIB)
    if name.startswith("tests/src/"):
        forbidden = {}  # this file quotes them
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_COLUMNS:
            yield f"{name}:{number}: {len(line)} columns, at most {MOST_COLUMNS}"
        for pattern, why in forbidden.items():
            if re.search(pattern, line):
                yield f"{name}:{number}: {why}"


def check_head(name, lines):
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
        yield f"{name}: no SPDX line"


def check_guard(name, text):
    """lib/model/plan.h → GN2_MODEL_PLAN_H, include/gn2/base.h → GN2_BASE_H."""
    if not re.match(r"(lib|include)/.*\.(h|hpp)$", name):
        return
    parts = pathlib.PurePath(name).parts[1:]
    parts = parts if parts[0] == "gn2" else ("gn2", *parts)
    guard = re.sub(r"\W", "_", "_".join(parts)).upper()
    if f"#ifndef {guard}\n#define {guard}\n" not in text:
        yield f"{name}: guard is not {guard}"


def versions(root):
    """The version in every place that states it."""
    base = (root / "include/gn2/base.h").read_text()
    number = [
        re.search(rf"define GN2_VERSION_{part} (\d+)", base)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    meson = (root / "meson.build").read_text()
    news = (root / "NEWS.md").read_text()
    found = {
        "base.h numbers": ".".join(number),
        "base.h string": re.search(r'VERSION_STRING "([^"]+)"', base)[1],
        "meson.build": re.search(r"version: '([^']+)'", meson)[1],
        "NEWS.md": re.search(r"^## (\S+)", news, flags=re.M)[1],
    }
    for path in root.glob("bindings/python/**/pyproject.toml"):
        match = re.search(r'^version = "([^"]+)"', path.read_text(), flags=re.M)
        if match:
            found[path.relative_to(root).as_posix()] = match[1]
    return found


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    problems = []
    names = [name for name in tracked(root) if is_code(name)]
    for name in names:
        text = (root / name).read_text()
        lines = text.splitlines()
        problems += check_lines(name, lines)
        if text.strip():
            problems += check_head(name, lines)
            problems += check_guard(name, text)
    if len(set(versions(root).values())) != 1:
        problems.append(f"versions differ: {versions(root)}")
    print(f"{len(names)} files")
    if len(names) < 20:
        problems.append("too few files found, was the right folder read?")
    sys.exit("\n".join(problems) or 0)


main()
