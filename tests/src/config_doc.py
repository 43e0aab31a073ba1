#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is doc/config.md what the library's table of options says?

config_doc.py [--update] [LIBGN2.SO]     (default: build/lib/abi/libgn2.so)
"""
import ctypes as c
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = {
    1: "integer",
    2: "real",
    3: "text",
    4: "list of texts",
    5: "list of numbers",
}
SECTIONS = {
    "model": "The network",
    "inputs": "Inputs",
    "task": "Tasks",
    "norm": "Normalisation",
    "input": "Checks of the inputs",
    "discriminant": "Discriminants",
    "train": "Training",
    "optim": "Optimiser",
    "schedule": "Schedule",
    "data": "Data",
    "compute": "Arithmetic",
    "tagger": "Tagging",
    "scores": "Score files",
    "provenance": "Provenance",
    "group": "Several processes",
}
HEAD = """\
# Options

Every key of a `gn2_config`, with type, default, range and meaning. `*` stands for the
name of one object, e.g. `norm.jets.mean`. Lists are written with commas. Made from the
table in `lib/config/table.c` by `tests/src/config_doc.py --update`; a test
compares.
"""


class Info(c.Structure):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("type", c.c_int32),
        ("key", c.c_char_p),
        ("default_text", c.c_char_p),
        ("doc", c.c_char_p),
        ("min", c.c_double),
        ("max", c.c_double),
        ("choices", c.c_char_p),
        ("reserved", c.c_uint64 * 4),
    ]


def rows(library):
    library.gn2_config_count.restype = c.c_size_t
    for index in range(library.gn2_config_count()):
        info = Info(struct_size=c.sizeof(Info))
        if library.gn2_config_describe(c.c_size_t(index), c.byref(info)):
            raise RuntimeError(f"row {index}")
        yield info


def number(value):
    whole = value == int(value) and abs(value) < 1e16  # up to there repr has no e
    return repr(int(value)) if whole else repr(value).replace("e+", "e")


def limits(info):
    if info.choices:
        return ", ".join(f"`{word}`" for word in info.choices.decode().split("|"))
    low, high = math.isfinite(info.min), math.isfinite(info.max)
    if low and high:
        return f"{number(info.min)} … {number(info.max)}"
    return f"≥ {number(info.min)}" if low else ""


def cell(text):
    return text.replace("|", "\\|")


def line(info):
    default = info.default_text.decode().replace(",", ", ")
    cells = [
        f"`{info.key.decode()}`",
        TYPES[info.type],
        f"`{default}`" if default else "",
        limits(info),
        cell(info.doc.decode()),
    ]
    return "| " + " | ".join(cells) + " |\n"


def page(library):
    sections = {}
    for info in rows(library):
        section = info.key.decode().split(".")[0]
        sections.setdefault(SECTIONS.get(section, section), []).append(line(info))
    text = HEAD
    for title, lines in sections.items():
        text += f"\n## {title}\n\n| key | type | default | values | meaning |\n"
        text += "|---|---|---|---|---|\n" + "".join(lines)
    return text


def main():
    words = [word for word in sys.argv[1:] if word != "--update"]
    library = c.CDLL(words[0] if words else str(ROOT / "build/lib/abi/libgn2.so"))
    path = ROOT / "doc" / "config.md"
    wanted = page(library)
    if "--update" in sys.argv:
        path.write_text(wanted)
        return 0
    if path.exists() and path.read_text() == wanted:
        return 0
    print(
        f"{path.name} differs from the library's table: run "
        f"python3 tests/src/config_doc.py --update {' '.join(words)}".rstrip()
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
