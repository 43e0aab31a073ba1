# SPDX-License-Identifier: Apache-2.0
"""The library and its modules import nothing that prints, ends the process, changes
its state or depends on the locale.

manners.py ASSERTS LIBRARY...    ASSERTS: "asserts" when built with assert()
"""
import os
import re
import subprocess
import sys

# fesetenv is allowed: workers take over the modes of the thread that calls.
FORBIDDEN = {
    "prints": "printf fprintf vprintf vfprintf dprintf puts fputs putchar putc fputc "
    "perror psignal stdout stderr syslog",
    "reads the terminal": "scanf getchar gets stdin",
    "ends the process": "abort exit _exit _Exit quick_exit atexit raise kill err errx",
    "starts a process": "fork vfork system popen execv execve execvp posix_spawn",
    "hidden state": "rand srand random srandom drand48 strtok strerror localtime "
    "gmtime ctime asctime readdir",
    "changes the process": "setlocale setenv putenv unsetenv clearenv chdir umask "
    "signal sigaction sigprocmask setrlimit fesetround feenableexcept "
    "fedisableexcept mallopt",
    "reads the environment": "getenv secure_getenv",
    "depends on the locale": "atof strtod strtof strtold sscanf toupper tolower "
    "isalpha isspace isdigit strcoll",
    "without bounds": "sprintf vsprintf strcat gets",
}
ASSERT = "__assert_fail"
# Of a module, which is loaded while threads run: their first use of it has the loader
# make thread-local memory, and without any to be had it ends the process.
MODULE = {"has thread-local memory": "__tls_get_addr"}


def imports(library):
    text = subprocess.run(
        ["nm", "-D", "--undefined-only", library],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {line.split()[-1].split("@")[0] for line in text.splitlines()}
    # fortified forms: __fprintf_chk is fprintf
    return names | {re.sub(r"^__(.*)_chk$", r"\1", name) for name in names}


def main():
    asserts, *libraries = sys.argv[1:]
    problems = []
    for library in libraries:
        found = imports(library)
        if len(found) < 5:
            problems.append(f"{library}: only {len(found)} imports, was it read?")
        is_module = os.path.basename(library).startswith("gn2-")
        forbidden = {**FORBIDDEN, **(MODULE if is_module else {})}
        for why, names in forbidden.items():
            bad = sorted(found & set(names.split()))
            if bad:
                problems.append(f"{library}: {why}: {' '.join(bad)}")
        if ASSERT in found and asserts != "asserts":
            problems.append(f"{library}: asserts in a release build")
        print(f"{library}: {len(found)} imports")
    sys.exit("\n".join(problems) or 0)


main()
