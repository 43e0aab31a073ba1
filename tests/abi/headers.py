# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, in C11 and C++17, without a warning.

headers.py INCLUDE_DIR HEADER... -- COMPILER...
"""
import pathlib
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"]
MODES = {
    "c": ["-x", "c", "-std=c11", "-pedantic-errors", "-Wstrict-prototypes"],
    "c++": ["-x", "c++", "-std=c++17", "-pedantic-errors", "-Wold-style-cast"],
}


def languages(header):
    return ["c++"] if header.suffix == ".hpp" else ["c", "c++"]


def compile_alone(compiler, language, include, header):
    # twice: the second one must be stopped by the guard
    line = f"#include <gn2/{header.name}>\n"
    main = "int main(void) { return 0; }\n" if language == "c" else "int main() {}\n"
    command = [compiler, *MODES[language], *WARNINGS, f"-I{include}", "-fsyntax-only"]
    done = subprocess.run(
        [*command, "-"], input=line * 2 + main, capture_output=True, text=True
    )
    if done.returncode:
        print(f"{compiler}, {language}, {header.name}:\n{done.stderr}")
    return done.returncode == 0


def refuses_old_standard(compiler, include):
    """The wrapper says what it needs before the compiler stumbles over it."""
    done = subprocess.run(
        [compiler, "-x", "c++", "-std=c++14", f"-I{include}", "-fsyntax-only", "-"],
        input="#include <gn2/gn2.hpp>\n",
        capture_output=True,
        text=True,
    )
    refused = done.returncode != 0 and "gn2.hpp needs C++17" in done.stderr
    if not refused:
        print(f"{compiler}: gn2.hpp in C++14: {done.stderr or 'compiled'}")
    return refused


def main():
    include, *rest = sys.argv[1:]
    split = rest.index("--")
    headers = [pathlib.Path(path) for path in rest[:split]]
    on_disk = {p.name for p in pathlib.Path(include, "gn2").iterdir()}
    not_installed = on_disk - {header.name for header in headers}
    if not_installed:
        sys.exit(f"headers that are not installed: {sorted(not_installed)}")
    results = [
        compile_alone(compiler, language, include, header)
        for compiler in rest[split + 1 :]
        for header in headers
        for language in languages(header)
    ]
    results += [refuses_old_standard(c, include) for c in rest[split + 1 :]]
    print(f"{sum(results)} of {len(results)} compilations as they should be")
    sys.exit(not results or not all(results))


main()
