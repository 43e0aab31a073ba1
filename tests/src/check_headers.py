# SPDX-License-Identifier: Apache-2.0
"""Every function that can fail says what it may answer.

check_headers.py INCLUDE_DIR

The comment of each function that returns gn2_status has an @return that begins with
GN2_OK, or with `as gn2_other()`, which must be such a function too.
"""
import pathlib
import re
import sys

FUNCTION = re.compile(
    r"/\*\*((?:(?!\*/).)*)\*/\s*GN2_API\s+gn2_status\s+(gn2_\w+)\(", re.S
)
DECLARED = re.compile(r"GN2_API\s+gn2_status\s+(gn2_\w+)\(")
STATUS = re.compile(r"GN2_(?:OK|ERR_\w+)")


def words(comment):
    return " ".join(re.sub(r"^\s*\*", "", line) for line in comment.split("\n")).split()


def returned(comment):
    """What follows @return, up to the next command."""
    text = " ".join(words(comment))
    match = re.search(r"@return (.*?)(?= @\w+|$)", text)
    return match[1] if match else ""


def complaints(name, text, known, fallible):
    answer = returned(text)
    unknown = set(STATUS.findall(answer)) - known
    if unknown:
        yield f"{name}: no such status: {sorted(unknown)}"
    other = re.match(r"as (gn2_\w+)\(\)", answer)
    if other and other[1] not in fallible:
        yield f"{name}: 'as {other[1]}()' cannot fail"
    if not other and not answer.startswith("GN2_OK"):
        yield f"{name}: @return says '{answer}', not GN2_OK and what else it may be"


def main():
    headers = sorted(pathlib.Path(sys.argv[1], "gn2").glob("*.h"))
    texts = [path.read_text() for path in headers]
    defined = re.compile(r"#define (GN2_(?:OK|ERR_\w+))")
    known = {status for text in texts for status in defined.findall(text)}
    fallible = {name for text in texts for name in DECLARED.findall(text)}
    commented = {name: c for text in texts for c, name in FUNCTION.findall(text)}
    problems = [f"{name}: no comment" for name in sorted(fallible - set(commented))]
    for name, comment in sorted(commented.items()):
        problems += complaints(name, comment, known, fallible)
    print(f"{len(fallible)} functions that can fail")
    if not fallible or not known:
        problems.append("no functions found")
    sys.exit("\n".join(problems) or 0)


main()
