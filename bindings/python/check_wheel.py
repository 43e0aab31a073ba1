# SPDX-License-Identifier: Apache-2.0
"""What the libraries in a wheel need of the system, and --repair to copy it in.

check_wheel.py [--repair] WHEEL...

Prints every library needed from outside the wheel; status 1 when one of them is not
part of every Linux. Uses readelf, ldd and, for --repair, patchelf.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

# Found on every glibc Linux (PEP 600); all else must be in the wheel.
SYSTEM = re.compile(
    r"(libc|libm|libdl|libpthread|librt|libresolv|libutil|ld-linux[-\w]*|"
    r"libstdc\+\+|libgcc_s)\.so(\.\d+)*"
)
LIBS = "gn2.libs"


def run(*command: str) -> str:
    return subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout


def needed(library: pathlib.Path) -> list[str]:
    """Names a library asks for itself."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", str(library)))


def where(library: pathlib.Path) -> dict[str, str]:
    """Paths of everything a library loads, directly or not."""
    found = re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", str(library)), re.M)
    return dict(found)


def libraries(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in root.rglob("*.so*") if p.is_file())


def missing(root: pathlib.Path) -> dict[str, list[str]]:
    """Libraries that must come from outside: name -> who asks."""
    inside = {p.name for p in libraries(root)}
    asked: dict[str, list[str]] = {}
    for library in libraries(root):
        for name in needed(library):
            if name not in inside and not SYSTEM.fullmatch(name):
                asked.setdefault(name, []).append(library.name)
    return asked


def copy_in(root: pathlib.Path) -> None:
    """Copies what is missing, and what that needs, beside the package."""
    target = root / LIBS
    target.mkdir(exist_ok=True)
    own = libraries(root)
    paths = {name: path for library in own for name, path in where(library).items()}
    while missing(root):
        for name in missing(root):
            if name not in paths:
                sys.exit(f"{name} is not on this machine")
            shutil.copy2(paths[name], target / name)
    for library in own:
        up = os.path.relpath(target, library.parent)
        run("patchelf", "--set-rpath", f"$ORIGIN/{up}", str(library))
    for library in target.iterdir():
        library.chmod(0o755)
        run("patchelf", "--set-rpath", "$ORIGIN", str(library))


def retag(root: pathlib.Path, wheel: pathlib.Path) -> pathlib.Path:
    """The libraries do not know Python: any version of it will do."""
    path = next(root.glob("*.dist-info")) / "WHEEL"
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^Tag: \w+-\w+-", "Tag: py3-none-", text))
    *name, _python, _abi, platform = wheel.stem.split("-")
    return wheel.with_name("-".join([*name, "py3", "none", platform]) + ".whl")


def record(root: pathlib.Path) -> None:
    """Writes RECORD anew: names, hashes, sizes of all files."""
    path = next(root.glob("*.dist-info")) / "RECORD"
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    for file in sorted(p for p in root.rglob("*") if p.is_file() and p != path):
        digest = hashlib.sha256(file.read_bytes()).digest()
        code = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        rows.writerow([file.relative_to(root), f"sha256={code}", file.stat().st_size])
    rows.writerow([path.relative_to(root), "", ""])
    path.write_text(table.getvalue())


def pack(root: pathlib.Path, wheel: pathlib.Path) -> None:
    temporary = wheel.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(root))
    os.replace(temporary, wheel)


def check(wheel: pathlib.Path, repair: bool) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
        if repair:
            copy_in(root)
            wheel.unlink()
            wheel = retag(root, wheel)
            record(root)
            pack(root, wheel)
        names = [str(p.relative_to(root)) for p in libraries(root)]
        print(f"{wheel.name}: holds {', '.join(names) or 'no library'}")
        lost = missing(root)
        for name, who in sorted(lost.items()):
            print(f"  needs {name} (for {', '.join(who)})")
        return bool(names) and not lost


def main() -> int:
    words = sys.argv[1:]
    repair = "--repair" in words
    wheels = [pathlib.Path(word) for word in words if word != "--repair"]
    if not wheels:
        print(__doc__)
        return 2
    return 0 if all([check(wheel, repair) for wheel in wheels]) else 1


if __name__ == "__main__":
    sys.exit(main())
