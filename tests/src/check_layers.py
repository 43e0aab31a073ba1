# SPDX-License-Identifier: Apache-2.0
"""Rooms include only what lies below them; HDF5 and oneDNN stay where they belong.

check_layers.py SOURCE_ROOT
"""
import pathlib
import re
import sys

# room: rooms it may include, besides itself
CORE = ["util", "config", "kernels", "layers", "net"]
MAY_INCLUDE = {
    "util": [],
    "config": ["util"],
    "kernels": ["util"],
    "layers": ["util", "kernels"],
    "net": ["util", "config", "kernels", "layers"],
    "optim": CORE,
    "io": CORE,
    "data": CORE,
    "tag": CORE,
    "train": [*CORE, "optim", "io", "data", "tag"],
    "abi": [*CORE, "optim", "io", "data", "tag", "train"],
}

# header: (files that may include it, why)
DNNL_FILES = r"lib/kernels/product_dnnl\w*\.[ch]"
CONFINED = {
    r"hdf5(_hl)?\.h|H5\w*\.h|lzf\.h|liblzf/.*|lz4.*\.h": (
        r"lib/data/\w*h5\w*\.[ch]", "only the HDF5 module"),
    r"dnnl.*|oneapi/.*": (DNNL_FILES, "only the oneDNN back end"),
    r"omp\.h": (DNNL_FILES, "only the oneDNN back end"),
    r"zlib\.h": (r"lib/((io|abi)/\w+|data/h5_\w+)\.[ch]",
                "only the container, the HDF5 module and gn2_features()"),
    r"\w*intrin\.h": (r"lib/(kernels|util)/\w+\.[ch]", "only kernels"),
    r"pthread\.h|stdatomic\.h": (
        r"lib/(util|abi|data|net|tag|train)/\w+\.[ch]|"
        r"lib/kernels/(cpu|kernels|product\w*)\.c",
        "kernels and layers know no threads"),
    r"(stdio|locale)\.h": (
        r"lib/(?!layers)\w+/\w+\.[ch]", "layers read and write nothing"),
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
            return "name the room: \"room/file.h\""
    for pattern, (allowed, why) in CONFINED.items():
        if re.fullmatch(pattern, header) and not re.fullmatch(allowed, relative):
            return f"{header}: {why} may include it"
    if kind == "<" and header.startswith("gn2/") and room in ("kernels", "layers"):
        if header != "gn2/base.h":
            return "knows tensors, not GN2: only gn2/base.h"
    return None


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
    for path in sorted(root.glob("include/gn2/*.h*")):
        for number, kind, header in includes(path):
            if kind == '"' or ("/" in header and not header.startswith("gn2/")):
                problems.append(f"{path.name}:{number}: public headers include <gn2/…>")
    print(f"{len(files)} files")
    if not files:
        problems.append("no files found")
    sys.exit("\n".join(problems) or 0)


main()
