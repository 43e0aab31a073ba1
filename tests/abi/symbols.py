# SPDX-License-Identifier: Apache-2.0
"""Exported symbols == symbols.txt == prototypes == version script; soname; NEEDED, ldd.

symbols.py LIBRARY SOURCE_ROOT ABI_VERSION SANITIZERS
"""
import pathlib
import re
import subprocess
import sys

# libgn2 needs zlib and the C library, nothing else, and brings nothing else.
NEEDED = r"(libz|libc|libm|libpthread|libdl|ld-linux[-\w]*)\.so(\.\d+)*"
LOADED = rf"{NEEDED}|linux-vdso\.so\.1|linux-gate\.so\.1"
SANITIZER_RUNTIME = r"(libasan|libubsan|libtsan|libgcc_s)\.so(\.\d+)*"


def output(*command):
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={"LC_ALL": "C"}
    ).stdout


def exported(library):
    lines = output("/usr/bin/nm", "-D", "--defined-only", library).splitlines()
    names = {line.split()[-1] for line in lines}
    # a version node is an absolute symbol of its own name
    return {re.sub("@.*", "", name) for name in names if not name.startswith("GN2_")}


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = text.replace("\\\n", " ")
    return re.sub(r"^#.*$", "", text, flags=re.M)


def prototypes(root):
    names = set()
    for header in root.glob("include/gn2/*.h"):
        text = without_comments(header.read_text())
        names.update(re.findall(r"GN2_API[^;(]*?\b(\w+)\s*\(", text))
    return names


def in_map(root):
    text = without_comments((root / "lib/libgn2.map").read_text())
    return set(re.findall(r"\b(gn2_\w+);", text))


def words(path):
    return set(path.read_text().split()) if path.exists() else set()


def dynamic(library, tag):
    text = output("/usr/bin/readelf", "-dW", library)
    return re.findall(rf"\({tag}\).*\[(.*)\]", text)


def loaded(library):
    """Names of all that the loader maps for it."""
    lines = output("ldd", library).splitlines()
    return [pathlib.PurePath(line.split()[0]).name for line in lines]


def structs_not_asserted(root):
    asserted = (root / "tests/abi/test_structs.c").read_text()
    headers = [without_comments(h.read_text()) for h in root.glob("include/gn2/*.h")]
    structs = re.findall(r"typedef struct (\w+)\s*\{", "".join(headers))
    return [name for name in structs if f"SIZE({name}," not in asserted]


def main():
    library, root, abi, sanitizers = sys.argv[1:]
    root = pathlib.Path(root)
    problems = []

    def same(what, left, right):
        if left != right:
            problems.append(
                f"{what}: only left {sorted(left - right)}, "
                f"only right {sorted(right - left)}"
            )

    listed = words(root / "tests/abi/symbols.txt")
    pending = words(root / "tests/abi/pending.txt")
    same("exported symbols and symbols.txt", exported(library), listed)
    same("version script and symbols.txt", in_map(root), listed)
    same("prototypes and symbols.txt", prototypes(root), listed | pending)
    if pending & listed:
        problems.append(f"pending but there: {sorted(pending & listed)}")
    if (root / "tests/abi/pending.txt").exists() and not pending:
        problems.append("pending.txt is empty: delete it")

    if dynamic(library, "SONAME") != [f"libgn2.so.{abi}"]:
        problems.append(f"soname is {dynamic(library, 'SONAME')}")
    allowed = NEEDED if sanitizers == "none" else f"{NEEDED}|{SANITIZER_RUNTIME}"
    foreign = [n for n in dynamic(library, "NEEDED") if not re.fullmatch(allowed, n)]
    if foreign:
        problems.append(f"needs {foreign}")
    if sanitizers == "none":
        brought = [n for n in loaded(library) if not re.fullmatch(LOADED, n)]
        if brought:
            problems.append(f"brings {brought} into a process")
    if dynamic(library, "RUNPATH") or dynamic(library, "RPATH"):
        print("note: RUNPATH of the build tree, removed by meson install")
    flags = output("/usr/bin/readelf", "-dW", library)
    for flag in ("NOW", "NODELETE"):
        if not re.search(rf"\(FLAGS(_1)?\).*\b{flag}\b", flags):
            problems.append(f"not linked with -z {flag.lower()}")
    if structs_not_asserted(root):
        problems.append(f"not in test_structs.c: {structs_not_asserted(root)}")

    print(f"{len(listed)} symbols listed, {len(pending)} pending")
    sys.exit("\n".join(problems) or 0)


main()
