# SPDX-License-Identifier: Apache-2.0
"""The tables of _ffi.py say what the headers and symbols.txt say: names, order, number
and type of arguments, struct fields and sizes, callbacks, constants."""

import ctypes
import re

import pytest
from conftest import ROOT
from gn2 import _constants, _ffi, _lib

SCALARS = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
}
# arrays travel as addresses; ctypes checks the others
ADDRESSES = {"float *", "double *", "void *", "uint8_t *", "int32_t array", "int64_t *"}


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r"\\\n", " ", text)


HEADERS = {
    path.name: without_comments(path.read_text())
    for path in sorted((ROOT / "include/gn2").glob("*.h"))
}
ALL = re.sub(r"^#.*$", "", "\n".join(HEADERS.values()), flags=re.M)


def words(declaration):
    """ "const char *const *names" -> ("char * *", "names")."""
    text = re.sub(r"\bconst\b|\bstruct\b", " ", declaration)
    text = re.sub(r"\s*\*\s*", " * ", text)
    *kind, name = text.split()
    return " ".join(kind), name


def ctype(kind, name=""):
    """The ctypes type this package uses for a C type."""
    if kind in SCALARS:
        return SCALARS[kind]
    if kind == "gn2_status":
        return ctypes.c_int32
    if kind == "char *":
        return ctypes.c_char_p
    if kind in _ffi.CALLBACKS:
        return _ffi.CALLBACKS[kind]
    base, stars = kind.split(" *", 1)[0], kind.count("*")
    if base in _ffi.CALLBACKS:
        return ctypes.POINTER(_ffi.CALLBACKS[base])
    if kind == "void * *":
        return ctypes.POINTER(ctypes.c_void_p)
    if base in _ffi.HANDLES:
        handle = _ffi.HANDLES[base]
        return handle if stars == 1 else ctypes.POINTER(handle)
    if base in _ffi.STRUCTS:
        return ctypes.POINTER(_ffi.STRUCTS[base])
    if kind == "char * *":
        return ctypes.POINTER(ctypes.c_char_p)
    if kind in ("int64_t *", "size_t *", "int32_t *") and name.startswith("out_"):
        return ctypes.POINTER(SCALARS[base])
    assert kind in ADDRESSES or kind == "int32_t *", f"no rule for '{kind} {name}'"
    return ctypes.c_void_p


def prototypes():
    found = {}
    for result, name, inside in re.findall(
        r"GN2_API\s+([^;()]*?)\b(gn2_\w+)\s*\(([^;]*?)\)\s*;", ALL
    ):
        kinds = [] if inside.strip() == "void" else inside.split(",")
        arguments = tuple(ctype(*words(kind)) for kind in kinds)
        found[name] = (words(result + " x")[0], arguments)
    return found


PROTOTYPES = prototypes()


def test_the_table_has_every_function_of_the_headers_and_no_other():
    table = [row[0] for row in _ffi.PROTOTYPES]
    assert len(table) == len(set(table))
    assert set(table) == set(PROTOTYPES)
    assert len(table) >= 60


def test_the_table_has_every_symbol_of_the_library():
    listed = set((ROOT / "tests/abi/symbols.txt").read_text().split())
    pending = ROOT / "tests/abi/pending.txt"
    listed |= set(pending.read_text().split()) if pending.exists() else set()
    assert {row[0] for row in _ffi.PROTOTYPES} == listed


@pytest.mark.parametrize("row", _ffi.PROTOTYPES, ids=lambda row: row[0])
def test_result_and_arguments(row):
    name, result, arguments = row
    kind, expected = PROTOTYPES[name]
    assert len(arguments) == len(expected)
    assert arguments == expected
    if kind == "gn2_status":
        assert result is _ffi.STATUS
    else:
        assert result is (None if kind == "void" else ctype(kind))


def fields_of(name):
    body = re.search(
        r"typedef struct %s\s*\{(.*?)\}\s*%s\s*;" % (name, name), ALL, re.S
    )
    for line in filter(None, (part.strip() for part in body[1].split(";"))):
        declared, *axes = re.split(r"\[|\]\s*\[?", line.rstrip("]"))
        kind, field = words(declared)
        yield kind, field, axes


def field_type(kind, axes):
    if kind in _ffi.CALLBACKS:
        return _ffi.CALLBACKS[kind]
    if kind.endswith("*") and kind != "char *":
        base = kind[:-2]
        if base in _ffi.STRUCTS:
            return ctypes.POINTER(_ffi.STRUCTS[base])
        return ctypes.c_void_p
    result = ctypes.c_char_p if kind == "char *" else SCALARS[kind]
    for axis in reversed([a for a in axes if a.strip()]):
        size = _ffi.WORKING_POINTS if axis == "GN2_WORKING_POINTS" else int(axis)
        result = result * size
    return result


def test_every_struct_is_in_the_table():
    structs = set(re.findall(r"typedef struct (\w+)\s*\{", ALL))
    opaque = set(re.findall(r"typedef struct (\w+) \1;", ALL))
    assert structs == set(_ffi.STRUCTS)
    assert opaque == set(_ffi.HANDLES)


@pytest.mark.parametrize("name", _ffi.STRUCTS)
def test_struct_fields(name):
    expected = [(f, field_type(k, axes)) for k, f, axes in fields_of(name)]
    assert list(_ffi.STRUCTS[name]._fields_) == expected


@pytest.mark.parametrize("name", _ffi.CALLBACKS)
def test_callbacks(name):
    found = re.search(r"typedef\s+(\w+)\s*\(\*%s\)\s*\((.*?)\)\s*;" % name, ALL, re.S)
    inside = re.sub(r"void \(\*(\w+)\)\([^)]*\)", r"task_fn \1", found[2])
    kinds = [words(part)[0] for part in inside.split(",")]
    expected = [_ffi.TaskFn if k == "task_fn" else ctype(k) for k in kinds]
    assert list(_ffi.CALLBACKS[name]._argtypes_) == expected
    result = None if found[1] == "void" else ctype(found[1])
    assert _ffi.CALLBACKS[name]._restype_ is result


def test_constants():
    defined = dict(
        re.findall(
            r"^#define (GN2_\w+) \(?(-?\d+)\)?\s*$",
            "\n".join(HEADERS.values()),
            flags=re.M,
        )
    )
    for name, value in _ffi.CONSTANTS.items():
        assert int(defined[name]) == value, name
    (far,) = re.findall(r"#define GN2_NORMALISED_MAX (\S+)$", HEADERS["model.h"], re.M)
    assert float(far) == _constants.NORMALISED_MAX
    assert int(defined["GN2_ABI_VERSION"]) == _lib.ABI_VERSION
    assert int(defined["GN2_WORKING_POINTS"]) == _ffi.WORKING_POINTS
    roles = {n: int(v) for n, v in defined.items() if n.startswith("GN2_ROLE_")}
    assert {f"GN2_ROLE_{r.upper()}": i for i, r in enumerate(_ffi.ROLES)} == roles


def test_an_exception_for_every_status():
    from gn2 import errors

    text = "\n".join(HEADERS.values())
    defined = {
        int(v): n for n, v in re.findall(r"#define (GN2_ERR_\w+) \((-\d+)\)", text)
    }
    assert {status: kind.name for status, kind in errors.BY_STATUS.items()} == defined
    for status, name in defined.items():
        assert _ffi.lib.gn2_status_name(status).decode() == name


def test_handles_of_the_wrong_type_are_refused(model):
    with pytest.raises(ctypes.ArgumentError):
        _ffi.lib.gn2_config_save(model._guard.handle, b"x")
