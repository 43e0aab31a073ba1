# SPDX-License-Identifier: Apache-2.0
"""clang-tidy on the C files of lib/ and plugins/, and through them the headers.

tidy.py CLANG_TIDY SOURCE_ROOT BUILD_ROOT [WORD...]     files whose path has a WORD

Arguments are those of the build; of a file that is compiled in both precisions the
float one is looked at. Exits 1 if anything is found, 0 otherwise.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

#: of the compiler's arguments, those that change what the code means
MEANING = re.compile(r"-(I|D|U|isystem|include|std=|m|pthread).*")
DOUBLE = "-DGN2_REAL_DOUBLE"
FOLDERS = ("lib", "plugins")
#: seconds above which a file is named in the log
SLOW = 60


def arguments(command):
    words = shlex.split(command)
    for word, after in zip(words, [*words[1:], ""]):
        if MEANING.fullmatch(word) and word not in ("-MD", "-MQ", "-MF"):
            yield word
            if word in ("-I", "-isystem", "-include"):
                yield after


def entries(root, build):
    """{file of FOLDERS: its entry of the compilation database}."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        inside = any(path.is_relative_to(root / folder) for folder in FOLDERS)
        if not inside or path.suffix != ".c" or DOUBLE in entry["command"]:
            continue
        words = ["clang", *arguments(entry["command"]), "-c", str(path)]
        found[path] = {
            "directory": entry["directory"],
            "file": str(path),
            "arguments": words,
        }
    return found


def check(tidy, database, path):
    """(seconds, what was found) of one file."""
    start = time.monotonic()
    command = [tidy, "--quiet", "-p", database, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    found = done.stdout.strip()
    if done.returncode and not found:
        found = done.stderr.strip() or f"{path}: status {done.returncode}"
    return time.monotonic() - start, found


def main():
    tidy, root, build = sys.argv[1], *map(pathlib.Path, sys.argv[2:4])
    root = root.resolve()
    wanted = entries(root, build)
    words = sys.argv[4:]
    if words:
        wanted = {p: e for p, e in wanted.items() if any(w in str(p) for w in words)}
    if not wanted:
        sys.exit(f"no files of {FOLDERS} in the compilation database")
    # the largest first: none of them is left for the end, alone
    files = sorted(wanted, key=lambda path: -path.stat().st_size)
    start, bad = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as database:
        target = pathlib.Path(database) / "compile_commands.json"
        target.write_text(json.dumps(list(wanted.values())))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = {pool.submit(check, tidy, database, path): path for path in files}
            for job in concurrent.futures.as_completed(jobs):
                seconds, found = job.result()
                if found or seconds > SLOW:
                    print(f"# {jobs[job].relative_to(root)}: {seconds:.0f} s")
                if found:
                    print(found, flush=True)
                bad += bool(found)
    spent = time.monotonic() - start
    print(f"{len(files)} files, {bad} with findings, {spent:.0f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
