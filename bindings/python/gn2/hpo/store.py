# SPDX-License-Identifier: Apache-2.0
"""The store of a search: Optuna's sqlite, journal or database, opened with care.

What a search is stands in the store: another space, other data or another folder are
refused. What goes wrong with the store is told with a remedy, and nothing is lost then:
a trial is told as a whole or is still running.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import _lines
from ..errors import Error, StateError
from . import sampling
from .identity import FREE, data_digest
from .space import Space

JOURNAL = "journal:"
_OP_CODE = b'{"op_code":'  # begins every line of one
#: seconds that a store may be locked by others
PATIENCE = 20.0
#: beginnings of types of file systems that hosts share, where sqlite's locks fail
NETWORK = (
    *("nfs", "cifs", "smb", "lustre", "ceph", "afs", "gpfs", "beegfs", "gluster"),
    *("9p", "panfs", "orangefs", "pvfs", "fuse", "eos", "ocfs", "gfs"),
)
#: of these beginnings, and local all the same
LOCAL = ("fuseblk", "fuse.fuse-overlayfs")
MOUNTS = "/proc/self/mountinfo"

#: (words in a message, what is wrong, what to do)
_TROUBLES = (
    ("locked", "is locked by another program", "end that program, or wait for it"),
    ("readonly", "may not be written", "make it writable, or take another --store"),
    ("read-only", "may not be written", "make it writable, or take another --store"),
    ("permission", "may not be written", "make it writable, or take another --store"),
    ("full", "is on a full disk", "make space"),
    ("no space", "is on a full disk", "make space"),
    ("file too large", "is at the limit of file sizes", "raise `ulimit -f`"),
    ("disk i/o", "cannot be read or written: disk I/O error", "look at the disk"),
)


def url_of(store: str | None, folder: str | os.PathLike[str]) -> str:
    """The store asked for; a file of sqlite in the folder by default."""
    if store:
        return store if "://" in store or store.startswith(JOURNAL) else _no_url(store)
    return f"sqlite:///{os.path.abspath(os.path.join(folder, 'study.db'))}"


def _no_url(store: str) -> str:
    raise Error(
        f"'{store}' is no store: give journal:FILE, sqlite:///FILE or the URL of a "
        "database, as postgresql://user@host/name"
    )


def kind_of_mount(path: str | os.PathLike[str]) -> str:
    """Type of the file system on which a file lies, or would; empty if unknown."""
    real, best = os.path.realpath(path), ("", "")
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ""
    for line in lines:
        words = line.split()
        place = words[4].replace("\\040", " ")
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best[0]):
            best = place, words[words.index("-") + 1]
    return best[1]


def is_network(kind: str) -> bool:
    """Is a type of file systems shared by hosts?"""
    return kind.startswith(NETWORK) and kind not in LOCAL


@contextlib.contextmanager
def guard(url: str) -> Iterator[None]:
    """What goes wrong with the store, as an Error that says what to do."""
    found = sampling.optuna()
    try:
        yield
    except (Error, KeyboardInterrupt):
        raise
    except (found.exceptions.StorageInternalError, OSError) as problem:
        raise StateError(_trouble(url, problem)) from problem
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise StateError(f"the store '{url}' is damaged ({problem})") from None
    except Exception as problem:
        if type(problem).__module__.partition(".")[0] != "sqlalchemy":
            raise
        raise StateError(_trouble(url, problem)) from problem


def _trouble(url: str, problem: BaseException) -> str:
    cause = problem.__cause__ or problem
    text = str(cause).partition("\n")[0]
    for words, what, remedy in _TROUBLES:
        if words in text.lower():
            say = f"{what}; {remedy}"
            break
    else:
        say = "cannot be used"
    return (
        f"the store '{url}' {say}; the same command goes on then, no trial is lost "
        f"({text})"
    )


def _storage(url: str) -> Any:
    storages = sampling.optuna().storages
    if url.startswith(JOURNAL):
        return storages.JournalStorage(_journal(url[len(JOURNAL) :]))
    if not url.startswith("sqlite"):
        return _database(url, {})
    _check_disk(url)
    return _database(url, {"connect_args": {"timeout": PATIENCE}})


def _database(url: str, arguments: dict[str, Any]) -> Any:
    try:
        return sampling.optuna().storages.RDBStorage(url, engine_kwargs=arguments)
    except ImportError as problem:
        raise Error(f"the store '{url}' needs a driver: {problem}") from None


def _check_disk(url: str) -> None:
    path = url.partition(":///")[2].partition("?")[0].removeprefix("file:")
    kind = kind_of_mount(path or ".")
    if is_network(kind):
        raise Error(
            f"'{path}' is on a network file system ({kind}), where sqlite loses data; "
            "use --store journal:FILE, or a database"
        )


def _journal(path: str) -> Any:
    """A journal without a torn line: a writer that was killed, or found the disk full,
    would leave one in the middle, and nobody could read on."""
    _check_journal(path)
    journal = sampling.optuna().storages.journal
    # how long a lock may be silent before it is taken for that of a dead process
    grace = 30 if is_network(kind_of_mount(path)) else 5

    class Journal(journal.JournalFileBackend):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.lock = journal.JournalFileOpenLock(path, grace_period=grace)
            super().__init__(path, lock_obj=self.lock)

        def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
            lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
            self.lock.acquire()
            try:
                _append(path, "".join(lines).encode())
            finally:
                # it is not ours where we were frozen and others waited for too long
                with contextlib.suppress(RuntimeError):
                    self.lock.release()

    return Journal()


def _check_journal(path: str) -> None:
    """Refuses a file that is something else: lines would be added to it, and what is
    behind its last end of line be cut off."""
    if not os.path.exists(path):
        return
    if not os.path.isfile(path):
        raise Error(f"--store {JOURNAL}{path}: it is no regular file")
    with open(path, "rb") as file:
        start = file.read(len(_OP_CODE))
    if start and not start.startswith(_OP_CODE):
        raise Error(f"--store {JOURNAL}{path}: the file is no journal of Optuna")


def _append(path: str, lines: bytes) -> None:
    """Writes at the end, wherever that is by then: others may have written, if we were
    frozen on the way here and lost the lock."""
    with open(path, "a+b", buffering=0) as file:
        end = size = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1
            if newline >= 0:
                break
        if end < size:
            file.truncate(end)
        try:
            while lines:
                lines = lines[file.write(lines) or 0 :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def digests(space: Space) -> dict[str, list[str]]:
    """The content of the data."""
    return {
        "train": [data_digest(path) for path in space.train],
        "val": [data_digest(path) for path in space.val],
    }


def choices_of(space: Space) -> dict[str, Any]:
    """What makes a search, besides the content of its data."""
    parameters = {}
    for parameter in space.parameters:
        row = dataclasses.asdict(parameter)
        name = row.pop("name")
        parameters[name] = {k: v for k, v in row.items() if v not in (None, ())}
        if parameter.kind == "choice":
            del parameters[name]["low"], parameters[name]["high"]
    found = {
        "objective": {o.metric: o.direction for o in space.objectives},
        "algorithm": {"name": space.algorithm.name, "seed": space.algorithm_seed},
        "pruning": dataclasses.asdict(space.pruning) if space.pruning else "none",
        "parameters": parameters,
        "options": {k: v for k, v in space.options.items() if k not in FREE},
        "budget": {"steps": space.steps, "validate_steps": space.validate_steps},
        "seed": space.seed,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def facts_of(space: Space, data: Any) -> dict[str, Any]:
    """What makes a search: other trials would come of other facts.

    Args:
        data: what is said of its data.
    """
    return {**choices_of(space), "data": data}


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two sets of facts differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in dict.fromkeys([*old, *new]):
            inner = f"{path}.{key}" if path else key
            found += differences(old.get(key, "none"), new.get(key, "none"), inner)
        return found
    return [] if old == new else [f"{path} is {old} there, {new} in the file"]


class Store:
    """The study of a space in a store, with the folder of its trials."""

    def __init__(
        self,
        space: Space,
        store: str | None,
        folder: pathlib.Path,
        create: bool = True,
    ) -> None:
        self.space = space
        self.folder = folder
        self.url = url_of(store, folder)
        with guard(self.url):
            self.study = self._create() if create else self._load()

    def _create(self) -> Any:
        self._folder_name()  # refuses that of another search, before there is a study
        return sampling.optuna().create_study(
            study_name=self.space.name,
            storage=_storage(self.url),
            directions=[o.direction for o in self.space.objectives],
            load_if_exists=True,
        )

    def _load(self) -> Any:
        none = StateError(f"no search '{self.space.name}' in '{self.url}'")
        path = self.url.partition(":///")[2].partition("?")[0]
        if self.url.startswith(JOURNAL):
            path = self.url[len(JOURNAL) :]
        if self.url.startswith(("sqlite", JOURNAL)) and not os.path.exists(
            path.removeprefix("file:")
        ):
            raise none
        try:
            return sampling.optuna().load_study(
                study_name=self.space.name, storage=_storage(self.url)
            )
        except KeyError:
            raise none from None

    @property
    def storage(self) -> Any:
        """Optuna's storage."""
        return self.study._storage

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What the search is, by the space file and the data."""
        return facts_of(self.space, digests(self.space))

    @property
    def digests(self) -> list[str]:
        """Of the data, in the order of the files."""
        return [*self.facts["data"]["train"], *self.facts["data"]["val"]]

    def settle(self) -> None:
        """Notes what the search is at the first time; refuses another one later."""
        attributes = self.study.user_attrs
        if "gn2_space" not in attributes:
            if self.study.get_trials(deepcopy=False):
                raise StateError(
                    f"study '{self.space.name}' in '{self.url}' is not of gn2: choose "
                    "another `name` or --store"
                )
            self.study.set_user_attr("gn2_space", self.facts)
        self.check_space()
        mine = self._folder_name()
        other = attributes.get("gn2_folder", mine)
        if other != mine:
            raise StateError(
                f"the search in '{self.url}' has another folder than '{self.folder}': "
                "all workers share one, give that with -o"
            )
        if "gn2_folder" not in attributes:
            self.study.set_user_attr("gn2_folder", mine)

    def check_space(self) -> None:
        """Refuses a space, or data, that are not those of the search."""
        self._compare(self.study.user_attrs.get("gn2_space"), self.facts)

    def check_words(self) -> None:
        """Refuses a space that is not that of the search, wherever the data are now."""
        there = self.study.user_attrs.get("gn2_space")
        if there is not None:  # else it is just being made
            self._compare(there, facts_of(self.space, there.get("data")))

    def _compare(self, there: Any, here: dict[str, Any]) -> None:
        wrong = differences(there, here)
        if wrong:
            raise StateError(
                f"the store '{self.url}' is of another search: {'; '.join(wrong)}. "
                "Give the search another `name`, or another -o and --store"
            )

    def _folder_name(self) -> str:
        """A name of the folder that does not depend on where it is mounted. Of another
        search it is refused: trials, leases and what was confirmed have their numbers
        for names."""
        path = self.folder / "folder.id"
        if not path.exists():
            _lines.replace(str(path), f"{uuid.uuid4().hex}\n{self.space.name}\n")
        mark, _, name = path.read_text(encoding="utf-8").strip().partition("\n")
        if name not in ("", self.space.name):
            raise StateError(
                f"'{self.folder}' is the folder of the search '{name}': give "
                f"'{self.space.name}' another one with -o"
            )
        return mark

    def check_data(self) -> None:
        """Refuses to go on when the content of the data is another than it was."""
        now = digests(self.space)
        if now == self.facts["data"]:
            return
        files = [*self.space.train, *self.space.val]
        new = [*now["train"], *now["val"]]
        changed = [f for f, a, b in zip(files, self.digests, new) if a != b]
        raise StateError(
            f"the data changed while the search was on: {', '.join(changed)}; bring "
            "them back and give the same command again, or begin another search"
        )
