# SPDX-License-Identifier: Apache-2.0
"""The Python package has no circle of imports, and its rooms know only those below.

check_python.py SOURCE_ROOT

What counts as knowing a module: every import statement, at the top, in a function and
under TYPE_CHECKING alike; `from . import name` is of the module `name` if there is one,
else of the package; and who imports a module runs the `__init__` of every package the
module lies in, unless the importer lies in that package too. What is named in a string
(`gn2.cli.COMMANDS`) does not count: that is what tables are for.
"""
import ast
import pathlib
import sys

PACKAGE = "gn2"
#: room: rooms it may import from, besides itself; "core" are the modules that lie in no
#: package, with gn2 itself as their face
MAY_IMPORT = {
    "core": [],
    "metrics": ["core"],
    "salt": ["core"],
    "onnx": ["core", "salt"],
    "plots": ["core", "metrics"],
    "report": ["core", "metrics", "plots"],
    "study": ["core", "plots"],
    "serve": ["core", "onnx"],
    "hpo": ["core", "metrics", "plots", "report", "study"],
    "monitor": ["core", "hpo"],
    "cli": [
        *["core", "metrics", "salt", "onnx", "plots", "report", "study", "hpo"],
        *["serve", "monitor"],
    ],
}
#: (from, to): why this way up is none. gn2.plots.report is a public name
ALIASES = {("gn2.plots", "gn2.report"): "a name of it, looked up on first use"}


def read(folder):
    """{name of the module: its syntax tree}."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def packages(modules):
    """Modules that have others inside."""
    return {m for m in modules if any(n.startswith(m + ".") for n in modules)}


def absolute(node, module, is_package):
    """The full name of where `from … import` takes from."""
    if not node.level:
        return node.module or ""
    here = module.split(".")
    here = here[: len(here) - node.level + is_package]
    return ".".join([*here, *filter(None, [node.module])])


def imported(tree, module, is_package, modules):
    """(line, module of the package) for every import statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, is_package)
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield node.lineno, inner if inner in modules else base


def with_parents(target, module):
    """The target, and the packages around it that the importer is not in."""
    parts = target.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if count == len(parts) or not (module + ".").startswith(name + "."):
            yield name


def graph(modules):
    """{module: {module it knows: line}}."""
    known = packages(modules)
    found = {}
    for module, tree in modules.items():
        edges = found.setdefault(module, {})
        for line, target in imported(tree, module, module in known, modules):
            if target not in modules:
                continue
            for name in with_parents(target, module):
                if name != module and (module, name) not in ALIASES:
                    edges.setdefault(name, line)
    return found


def circle(edges):
    """Modules of a circle, the first again at the end; None if there is none."""
    state, way = {}, []

    def visit(module):
        state[module] = "open"
        way.append(module)
        for target in edges[module]:
            if state.get(target) == "open":
                return [*way[way.index(target) :], target]
            if target not in state:
                found = visit(target)
                if found:
                    return found
        state[module] = "done"
        way.pop()
        return None

    for module in edges:
        if module not in state:
            found = visit(module)
            if found:
                return found
    return None


def room(module, known):
    if module == f"{PACKAGE}.__main__":
        return "cli"
    parts = module.split(".")
    return parts[1] if ".".join(parts[:2]) in known and len(parts) > 1 else "core"


def wrong_way(edges, known):
    for module, targets in edges.items():
        mine = room(module, known)
        for target, line in targets.items():
            theirs = room(target, known)
            if theirs != mine and theirs not in MAY_IMPORT[mine]:
                yield f"{module}:{line}: {mine} must not know {theirs} ({target})"


def problems(modules):
    known = packages(modules)
    strange = {room(m, known) for m in modules} - set(MAY_IMPORT)
    if strange:
        return [f"no place in MAY_IMPORT for {', '.join(sorted(strange))}"]
    edges = graph(modules)
    found = list(wrong_way(edges, known))
    round_trip = circle(edges)
    if round_trip:
        found.append("circle: " + " -> ".join(round_trip))
    return found


def sources(**texts):
    """Modules for the check of the check; `gn2` and packages are added."""
    found = {"gn2": ""}
    for name, text in texts.items():
        parts = name.split("__")
        for count in range(1, len(parts)):
            found.setdefault(".".join(["gn2", *parts[:count]]), "")
        found[".".join(["gn2", *parts])] = text
    return {name: ast.parse(text) for name, text in found.items()}


def bad_packages():
    """(what is wrong, a word of the complaint, modules)."""
    inside = "def f():\n    from .{} import x"
    hidden = "if TYPE_CHECKING:\n    from .{} import x"
    yield "at the top", "circle", sources(a="from . import b", b="from . import a")
    yield "in functions", "circle", sources(a=inside.format("b"), b=inside.format("a"))
    yield "of types", "circle", sources(a="from .b import x", b=hidden.format("a"))
    yield "absolute", "circle", sources(a="import gn2.b", b="from gn2 import a")
    three = {"a": "from .b import x", "b": "from .c import x", "c": "from .a import x"}
    yield "of three", "circle", sources(**three)
    own = {"plots__a": "from .b import x", "plots__b": "from . import a"}
    yield "in a room", "circle", sources(**own)
    face = {
        "plots": "from ..study.fits import x",
        "study": "from ..plots.style import x",
    }
    yield "by __init__", "circle", sources(**face, study__fits="", plots__style="")
    up = sources(plots__style="from ..cli import plot", cli__plot="")
    yield "up", "must not know", up
    beside = sources(onnx__graph="from ..metrics import x", metrics__sample="")
    yield "beside", "must not know", beside
    yield "new room", "no place", sources(cellar__wine="")


def check_itself():
    """Each kind of circle and of wrong way is found, and a good package passes."""
    good = sources(
        errors="import os",
        plots__style="from ..errors import Error",
        cli__plot="from ..plots import style\nfrom . import common",
        cli__common="",
    )
    missed = [
        f"not found: {what}"
        for what, word, modules in bad_packages()
        if not any(word in problem for problem in problems(modules))
    ]
    return missed + problems(good)


def main():
    modules = read(pathlib.Path(sys.argv[1]) / "bindings" / "python" / PACKAGE)
    print(f"{len(modules)} modules")
    found = check_itself() + problems(modules)
    if len(modules) < 2:
        found.append("no modules found")
    sys.exit("\n".join(found) or 0)


main()
