# SPDX-License-Identifier: Apache-2.0
"""libgn2.a, built and installed beside the shared library: CMake and pkg-config link
programs with it, and these find its modules where they are installed, beside
themselves, and nowhere else.

static.py SOURCE_ROOT COMPILER...
"""
import os
import pathlib
import shutil
import sys
import tempfile

from command import run

SKIP = 77


def build(root, folder, compiler):
    """Nothing but the library."""
    env = dict(os.environ, CC=" ".join(compiler))
    run(
        "meson",
        "setup",
        folder / "build",
        root,
        f"--prefix={folder / 'prefix'}",
        "-Ddefault_library=both",
        "-Dtests=false",
        "-Dexamples=false",
        env=env,
    )
    run("ninja", "-C", folder / "build")
    run("meson", "install", "-C", folder / "build", "--no-rebuild")
    return next((folder / "prefix").rglob("libgn2.a")).parent


def check_modules(program, data, expected):
    """What the program's gn2_features() says is what it can load."""
    if "libgn2" in run("ldd", program):
        sys.exit(f"{program.name} was linked with the shared library")
    lines = run(program, data).splitlines()
    words = dict(word.split("=", 1) for word in lines[0].split()[2:])
    results = dict(line.split() for line in lines[1:])
    for name in ("onednn", "hdf5"):
        there = name in expected
        if (words[name] != "none") != there or (results[name] == "loaded") != there:
            sys.exit(f"{program}: modules are {sorted(expected)}, it says {lines}")
        if not there and results[name] != "GN2_ERR_UNSUPPORTED":
            sys.exit(f"{program}: without its module {name} answers {results[name]}")
    print(f"{program.name}: modules {sorted(expected) or 'none'}")


def with_cmake(root, folder, data, modules):
    run(
        "cmake",
        "-S",
        root / "tests/abi/consumer/static",
        "-B",
        folder / "cmake",
        f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}",
    )
    run("cmake", "--build", folder / "cmake")
    check_modules(folder / "cmake" / "modules", data, modules)


def with_pkg_config(root, folder, library, compiler):
    """The shared library is gone: what a static build alone installs."""
    for path in library.glob("libgn2.so*"):
        path.unlink()
    env = dict(os.environ)
    more = env.get("PKG_CONFIG_PATH")
    env["PKG_CONFIG_PATH"] = f"{library / 'pkgconfig'}" + (f":{more}" if more else "")
    words = run("pkg-config", "--static", "--cflags", "--libs", "gn2", env=env).split()
    program = folder / "bin" / "with_pkg_config"
    program.parent.mkdir()
    run(*compiler, root / "tests/abi/consumer/modules.c", "-o", program, *words)
    return program


def main():
    root, *compiler = sys.argv[1:]
    root = pathlib.Path(root)
    missing = [t for t in ("cmake", "pkg-config", "ninja") if not shutil.which(t)]
    if missing:
        print(f"skipped: not installed: {missing}")
        sys.exit(SKIP)
    data = root / "examples/data/jets_test.h5"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        library = build(root, folder, compiler)
        modules = {path.stem[4:] for path in (library / "gn2").glob("gn2-*.so")}
        with_cmake(root, folder, data, modules)
        program = with_pkg_config(root, folder, library, compiler)
        check_modules(program, data, modules)
        shutil.rmtree(folder / "cmake")
        with_cmake(root, folder, data, modules)  # gn2::gn2 is now the static library
        # not from the build tree, which is still there, nor from folders above
        (library / "gn2").rename(folder / "gn2")
        check_modules(program, data, set())
        (folder / "gn2").rename(program.parent / "gn2")
        check_modules(program, data, modules)


main()
