# SPDX-License-Identifier: Apache-2.0
"""A console that cannot show every character gets others in their place.

So no command fails for want of a ×, be it LANG=C, a pipe or a file name of odd bytes.
"""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Iterator

#: what stands in ASCII for the characters that commands print; "?" for all others
PLAIN = {
    "×": "x", "μ": "u", "µ": "u", "…": "...", "≤": "<=", "≥": ">=", "±": "+-",
    "→": "->", "↔": "<->", "−": "-", "–": "-", "—": "-", "·": "*", "√": "sqrt ",
    "Σ": "sum ", "Δ": "d", "σ": "sigma", "ε": "eps", "η": "eta", "≠": "!=", "≈": "~",
    "∞": "inf", "°": " deg", "²": "^2", "ᵀ": "^T", "₂": "2", "∝": "~", "ü": "ue",
    "β": "beta", "λ": "lambda", "π": "pi", "₀": "0", "⌈": "[", "⌉": "]",
    "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=", "▆": "+", "▇": "*", "█": "#",
}  # fmt: skip
NAME = "gn2.plain"


def _plain(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    lost = problem.object[problem.start : problem.end]
    encoding = problem.encoding
    found = "".join(_known(PLAIN.get(letter, "?"), encoding) for letter in lost)
    return found, problem.end


def _known(word: str, encoding: str) -> str:
    try:
        word.encode(encoding)
    except UnicodeEncodeError:
        return "?"
    return word


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Standard output and error replace what they cannot show."""
    codecs.register_error(NAME, _plain)
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not of notebooks, which show all
            changed.append((stream, stream.errors))
            stream.reconfigure(errors=NAME)
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                stream.reconfigure(errors=errors)
