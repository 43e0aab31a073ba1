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
    print(f"{sum(results)} of {len(results)} compilations without a warning")
    sys.exit(not results or not all(results))


main()
