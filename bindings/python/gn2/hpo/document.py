# SPDX-License-Identifier: Apache-2.0
"""A YAML file whose values know their lines, for messages that say where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Error

Path = tuple[Any, ...]  #: keys and indices from the top
MOST = 1 << 20  #: bytes of a YAML file


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file, where, and what to do about it."""

    where: str  #: file and place in it, "space.yaml:7: parameters.rate.min"
    what: str
    remedy: str = ""
    warning: bool = False  #: works, but hardly as meant

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.where}: {kind}{self.what}{remedy}"


class SpaceError(Error, ValueError):
    """A file is not what it should be.

    Attributes:
        problems: all that were found, in the order of the file.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise Error(
            "search needs PyYAML; pip install 'gn2[hpo]' (or PyYAML alone)"
        ) from None
    return yaml


@dataclass
class Document:
    """What stands in a file, and the problems found in it so far."""

    name: str
    value: Any
    lines: dict[Path, int]
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> str:
        """File, line and keys, for messages."""
        known = path
        while known not in self.lines and known:
            known = known[:-1]
        words = ".".join(map(str, path))
        line = self.lines.get(known, 1)
        return f"{self.name}:{line}: {words}" if words else f"{self.name}:{line}"

    def refuse(self, path: Path, what: str, remedy: str = "") -> None:
        """Notes a problem; reading goes on, so that all are found at once."""
        self.problems.append(Problem(self.place(path), what, remedy))

    def check(self) -> None:
        """Raises SpaceError if there were problems."""
        if any(not problem.warning for problem in self.problems):
            raise SpaceError(self.problems)


def bounded(path: str | os.PathLike[str], most: int) -> bytes:
    """What a file, or a pipe, holds.

    Raises:
        SpaceError: more than ``most`` bytes.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        what = f"holds more than {most >> 20} MiB"
        raise SpaceError([Problem(os.fspath(path), what, "is it the file you mean?")])
    return data


def read(path: str | os.PathLike[str], text: str | None = None) -> Document:
    """Reads one YAML document; plain data only, no key twice.

    Args:
        text: the content, if it is at hand; ``path`` is its name then.

    Raises:
        SpaceError: no YAML, a key twice, an alias; with the line. Or beyond MOST bytes.
        OSError: the file cannot be read.
    """
    documents = read_all(path, text)
    if len(documents) != 1:
        found = f"{len(documents)} YAML documents instead of one"
        raise SpaceError([Problem(str(path), found, "give each a file of its own")])
    return documents[0]


def read_all(path: str | os.PathLike[str], text: str | None = None) -> list[Document]:
    """All documents of a YAML file, separated by ``---``."""
    yaml, name = _yaml(), os.fspath(path)
    try:
        if text is None:
            text = bounded(path, MOST).decode("utf-8-sig")
        roots = [root for root in yaml.compose_all(text, yaml.SafeLoader) if root]
    except UnicodeDecodeError as problem:
        what = f"no text in UTF-8 ({problem})"
        raise SpaceError([Problem(name, what, "iconv -t UTF-8")]) from None
    except RecursionError:
        raise SpaceError([Problem(name, "nested too deeply")]) from None
    except yaml.YAMLError as problem:
        raise SpaceError([_not_yaml(name, problem)]) from None
    return [_document(yaml, name, root) for root in roots]


def _not_yaml(name: str, problem: Any) -> Problem:
    mark = getattr(problem, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    return Problem(f"{name}:{line}", f"no YAML: {getattr(problem, 'problem', problem)}")


def _document(yaml: Any, name: str, root: Any) -> Document:
    document = Document(name, None, {})
    document.value = _value(yaml, document, root, ())
    document.check()
    return document


def _value(yaml: Any, document: Document, node: Any, path: Path) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > 40:
        document.refuse(path, "nested too deeply, or refers to itself")
        return None
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key, value in node.value:
            word = _scalar(yaml, document, key, path)
            inner = (*path, word)
            document.lines.setdefault(inner, key.start_mark.line + 1)
            if word in found:
                document.lines[inner] = key.start_mark.line + 1
                document.refuse(inner, "is there twice", "keep one")
            found[word] = _value(yaml, document, value, inner)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(yaml, document, item, (*path, i))
            for i, item in enumerate(node.value)
        ]
    return _scalar(yaml, document, node, path)


def _scalar(yaml: Any, document: Document, node: Any, path: Path) -> Any:
    loader = yaml.SafeLoader("")
    try:
        found = loader.construct_object(node)
    except yaml.YAMLError as problem:
        document.problems.append(_not_yaml(document.name, problem))
        return None
    except (ValueError, OverflowError):  # 2026-13-01, or a number of 5,000 digits
        return str(node.value)
    finally:
        loader.dispose()
    if found is None or isinstance(found, (str, bool, int, float)):
        return found
    return str(node.value)  # dates and the like stay as they are written


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All values under a value, with their paths, itself first."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from walk(inner, (*path, i))
