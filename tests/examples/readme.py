# SPDX-License-Identifier: Apache-2.0
"""The programs in README.md compile without warning and run; its links exist.

readme.py SOURCE_ROOT LIBGN2.SO -- C_COMPILER... -- CXX_COMPILER...
"""
import ctypes as c
import pathlib
import re
import subprocess
import sys
import tempfile

OPTIONS = {"c": ["-std=c11"], "cpp": ["-std=c++17"]}


def split_command_line():
    words = sys.argv[1:]
    first = words.index("--")
    second = words.index("--", first + 1)
    root, library = words[:first]
    compilers = {"c": words[first + 1 : second], "cpp": words[second + 1 :]}
    return pathlib.Path(root), pathlib.Path(library).resolve(), compilers


def make_model(library, path):
    gn2 = c.CDLL(str(library))
    model = c.c_void_p()
    assert gn2.gn2_model_create(None, c.byref(model)) == 0
    assert gn2.gn2_model_save(model, str(path).encode()) == 0
    gn2.gn2_model_free.argtypes = [c.c_void_p]
    gn2.gn2_model_free(model)


def compile_and_run(root, library, compiler, language, text, folder):
    source, program = folder / f"readme.{language}", folder / f"readme_{language}"
    source.write_text(text)
    subprocess.run(
        [
            *compiler,
            *OPTIONS[language],
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{root / 'include'}",
            str(source),
            str(library),
            f"-Wl,-rpath,{library.parent}",
            "-o",
            str(program),
        ],
        check=True,
    )
    done = subprocess.run(
        [program, folder / "model.gn2"], check=True, capture_output=True, text=True
    )
    assert re.search(r"D_b = -?\d+\.\d{3}\n", done.stdout), done.stdout


def check_links(root):
    for page in [root / "README.md", root / "NEWS.md", *(root / "doc").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def main():
    root, library, compilers = split_command_line()
    check_links(root)
    text = (root / "README.md").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_model(library, folder / "model.gn2")
        for language, compiler in compilers.items():
            programs = re.findall(rf"```{language}\n(.*?)```", text, re.S)
            assert programs, language
            for program in programs:
                compile_and_run(root, library, compiler, language, program, folder)


if __name__ == "__main__":
    main()
