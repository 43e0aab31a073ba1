# SPDX-License-Identifier: Apache-2.0
"""Clients build and run against an installed tree that was moved: with pkg-config in
C, with CMake in C and C++. No path of the build is left in what is installed.

install.py BUILD_ROOT SOURCE_ROOT VERSION
"""
import os
import pathlib
import shutil
import sys
import tempfile

from command import run

SKIP = 77


def install_and_move(build, folder):
    run("meson", "install", "-C", build, "--no-rebuild", "--destdir", folder / "first")
    (folder / "first").rename(folder / "moved")
    headers = list((folder / "moved").rglob("gn2/gn2.hpp"))
    if len(headers) != 1:
        sys.exit(f"gn2.hpp was installed {len(headers)} times")
    return headers[0].parent.parent.parent


def check_text(prefix, foreign):
    for path in [*prefix.rglob("*.pc"), *prefix.rglob("*.cmake")]:
        for word in foreign:
            if str(word) in path.read_text():
                sys.exit(f"{path.name} holds {word}")


def check_run(program, library, version, base):
    env = dict(base, LD_LIBRARY_PATH=str(library))
    text = run(program, env=env)
    if not text.startswith(f"libgn2 {version} isa="):
        sys.exit(f"{program} says: {text}")
    resolved = run("ldd", program, env=env)
    if str(library) not in resolved:
        sys.exit(f"another libgn2 was loaded:\n{resolved}")
    print(f"{program.name}: {text.strip()}")


def has_mpi(library):
    return (library / "libgn2_mpi.so").exists()


def with_pkg_config(package, source, folder, library, version, env):
    env = dict(env, PKG_CONFIG_PATH=str(library / "pkgconfig"))
    if run("pkg-config", "--modversion", package, env=env).strip() != version:
        sys.exit(f"pkg-config knows another version of {package}")
    words = run("pkg-config", "--cflags", "--libs", package, env=env).split()
    program = folder / f"{package}_by_pkg_config"
    run(
        os.environ.get("CC", "cc"),
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        source,
        "-o",
        program,
        *words,
    )
    check_run(program, library, version, env)


def with_cmake(source, folder, prefix, library, version, env):
    wanted = ".".join(version.split(".")[:2])
    parts = [path.stem[4:] for path in (library / "gn2").glob("gn2-*.so")]
    parts += ["mpi"] * has_mpi(library)
    run(
        "cmake",
        "-S",
        source,
        "-B",
        folder / "cmake",
        f"-DWANTED={wanted}",
        f"-DPARTS={';'.join(parts)}",
        f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_SKIP_RPATH=ON",
        env=env,
    )
    run("cmake", "--build", folder / "cmake", env=env)
    mpi = ["consumer_mpi"] * has_mpi(library)
    for name in ("consumer_c", "consumer_cpp", *mpi):
        check_run(folder / "cmake" / name, library, version, env)


def main():
    build, root, version = sys.argv[1:]
    missing = [t for t in ("cmake", "pkg-config", "cc", "c++") if not shutil.which(t)]
    if missing:
        print(f"skipped: not installed: {missing}")
        sys.exit(SKIP)
    source = pathlib.Path(root, "tests/abi/consumer")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "DESTDIR"))}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prefix = install_and_move(build, folder)
        check_text(prefix, [root, build, folder, "/usr/local"])
        library = next(prefix.rglob("libgn2.so")).parent
        rest = (folder, library, version, env)
        with_pkg_config("gn2", source / "consumer.c", *rest)
        if has_mpi(library):
            with_pkg_config("gn2_mpi", source / "mpi.c", *rest)
        with_cmake(source, folder, prefix, library, version, env)


main()
