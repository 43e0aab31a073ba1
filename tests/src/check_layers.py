# SPDX-License-Identifier: Apache-2.0
"""Rooms include only what lies below them; HDF5 and oneDNN stay where they belong, and
plugins know the public headers alone.

check_layers.py SOURCE_ROOT
"""
import pathlib
import re
import sys

# room: rooms it may include, besides itself
CORE = ["util", "config", "kernels", "layers", "optim", "net"]
MAY_INCLUDE = {
    "util": [],
    "config": ["util"],
    "group": ["util"],
    "kernels": ["util"],
    "layers": ["util", "config", "kernels"],
    "optim": ["util", "config", "kernels"],
    "net": ["util", "config", "kernels", "layers", "optim"],
    "io": CORE,
    "tag": CORE,
    "data": [*CORE, "tag"],
    "train": [*CORE, "group", "io", "data", "tag"],
    "abi": [*CORE, "group", "io", "data", "tag", "train"],
}

# header: (files that may include it, why)
DNNL_FILES = r"lib/kernels/onednn/\w+\.(c|h|cpp)"
CONFINED = {
    r"hdf5(_hl)?\.h|H5\w*\.h|lzf\.h|liblzf/.*|lz4.*\.h": (
        r"lib/data/hdf5/\w+\.[ch]",
        "only the HDF5 module",
    ),
    r"dnnl.*|oneapi/.*": (DNNL_FILES, "only the oneDNN module"),
    r"omp\.h": (DNNL_FILES, "only the oneDNN module"),
    r"data/hdf5/(?!interface\.h).*": (
        r"lib/data/hdf5/\w+\.[ch]",
        "only the HDF5 module",
    ),
    r"data/(?!hdf5/).*": (r"lib/(?!data/hdf5/).*", "all of libgn2 but its HDF5 module"),
    r"zlib\.h": (
        r"lib/(io|abi|data/hdf5)/\w+\.[ch]",
        "only the container, the HDF5 module and gn2_features()",
    ),
    r"\w*intrin\.h": (r"lib/(kernels|util)/\w+\.[ch]", "only kernels"),
    r"pthread\.h|stdatomic\.h": (
        r"lib/(util|abi|data|net|tag|train)/\w+\.[ch]|"
        r"lib/kernels/(cpu|tables|product\w*|onednn/backend)\.c",
        "kernels and layers know no threads",
    ),
    r"dlfcn\.h": (r"lib/util/module\.c", "modules are loaded there"),
    r"(stdio|locale)\.h": (
        r"lib/(?!layers/(?!declare)).*",
        "layers read and write nothing",
    ),
}


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]


def complaint(relative, room, kind, header):
    target = header.split("/")[0] if "/" in header else room
    if kind == '"':
        if target != room and target not in MAY_INCLUDE[room]:
            return f"{room} must not know {target}"
        if "/" not in header:
            return 'name the room: "room/file.h"'
    for pattern, (allowed, why) in CONFINED.items():
        if re.fullmatch(pattern, header) and not re.fullmatch(allowed, relative):
            return f"{header}: {why} may include it"
    if kind == "<" and header.startswith("gn2/") and room in ("kernels", "layers"):
        if header != "gn2/base.h":
            return "knows tensors, not GN2: only gn2/base.h"
    return None


def units(files, root):
    """Unit (a .h and its .c): units of the same room that it includes."""
    knows = {}
    for path in files:
        unit = path.relative_to(root / "lib").with_suffix("").as_posix()
        room = unit.split("/")[0]
        headers = [header for _, kind, header in includes(path) if kind == '"']
        found = {h.removesuffix(".h") for h in headers if h.startswith(f"{room}/")}
        knows.setdefault(unit, set()).update(found - {unit})
    return knows


def circle(knows):
    """Units that include each other in a circle, the first again at the end, or []."""
    done = set()

    def follow(unit, path):
        if unit in path:
            return [*path[path.index(unit) :], unit]
        if unit in done:
            return []
        for other in sorted(knows.get(unit, ())):
            found = follow(other, [*path, unit])
            if found:
                return found
        done.add(unit)
        return []

    return next(filter(None, (follow(unit, []) for unit in sorted(knows))), [])


def circles(knows):
    """Every circle; the include that closes one is taken out to find the next."""
    knows = {unit: set(others) for unit, others in knows.items()}
    while found := circle(knows):
        knows[found[-2]].discard(found[-1])
        yield found


def main():
    root = pathlib.Path(sys.argv[1])
    files = sorted(root.glob("lib/*/**/*.[ch]"))
    problems = []
    for path in files:
        relative = path.relative_to(root).as_posix()
        room = relative.split("/")[1]
        if room not in MAY_INCLUDE:
            problems.append(f"{relative}: unknown room '{room}'")
            continue
        for number, kind, header in includes(path):
            bad = complaint(relative, room, kind, header)
            if bad:
                problems.append(f"{relative}:{number}: {bad}")
    for names in circles(units(files, root)):
        problems.append("a circle: " + " → ".join(names))
    for path in sorted(root.glob("plugins/**/*.[ch]")):
        for number, kind, header in includes(path):
            if kind == '"':
                relative = path.relative_to(root)
                problems.append(f"{relative}:{number}: plugins include <gn2…> only")
    for path in sorted(root.glob("include/gn2/*.h*")):
        for number, kind, header in includes(path):
            if kind == '"' or ("/" in header and not header.startswith("gn2/")):
                problems.append(f"{path.name}:{number}: public headers include <gn2/…>")
    print(f"{len(files)} files")
    if not files:
        problems.append("no files found")
    sys.exit("\n".join(problems) or 0)


main()
