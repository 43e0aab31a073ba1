# SPDX-License-Identifier: Apache-2.0
"""Commands on consoles that cannot show every character."""

import io
import os
import subprocess
import sys

import pytest
from conftest import SMALL

import gn2
from gn2.cli import COMMANDS, console, main

PLAIN = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}


def narrow(monkeypatch, encoding="ascii"):
    """Standard streams of few characters; gives what was written to them."""
    raw = io.BytesIO()
    streams = [io.TextIOWrapper(raw, encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])

    def read():
        for stream in streams:
            stream.flush()
        return raw.getvalue().decode(encoding)

    return read


@pytest.mark.parametrize("name", [row[0] for row in COMMANDS])
def test_help_in_ascii(name, monkeypatch):
    read = narrow(monkeypatch)
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0 and len(read()) > 200
    assert sys.stdout.errors == "strict"  # as it was


def test_tables_in_ascii(monkeypatch, tmp_path):
    read = narrow(monkeypatch)
    path = str(tmp_path / "a model \u00d7.gn2")
    gn2.Model({**SMALL, "model.name": "\u03bcGN2"}).save(path)
    for words in (["params", path], ["inspect", path, "-a"], ["config"]):
        assert main(words) == 0
    shown = read()
    assert "lr x" in shown and "16x" in shown and "<= value" in shown
    assert "model.name = uGN2" in shown and "a model x.gn2" in shown


def test_messages_in_ascii(monkeypatch, tmp_path):
    read = narrow(monkeypatch)
    assert main(["inspect", str(tmp_path / "\u03bc\u4e2d")]) == 1
    assert "u?" in read()


def test_characters_of_an_encoding_are_kept(monkeypatch):
    read = narrow(monkeypatch, "latin-1")
    with console.lenient():
        print("\u00d7 \u03bc \u2026 \udcff")
    assert read() == "\u00d7 u ... ?\n"


def test_a_file_name_of_odd_bytes_is_shown(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.gn2"
    gn2.Model(SMALL).save(path)
    command = [sys.executable, "-m", "gn2", "inspect", path]
    for env in ({}, PLAIN):
        done = subprocess.run(command, capture_output=True, env={**os.environ, **env})
        assert done.returncode == 0, done.stderr
        assert b"/?.gn2: model" in done.stdout
