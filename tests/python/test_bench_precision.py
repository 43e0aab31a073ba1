# SPDX-License-Identifier: Apache-2.0
"""`gn2 bench precision`: what it prints where bf16 runs, and the row it makes of it."""

import re

import pytest

import gn2
from gn2.cli import bench_precision, main


def has_bf16():
    try:
        gn2.Tagger(gn2.Model(), {"tagger.precision": "bf16"}).close()
    except gn2.Error:
        return False
    return True


def test_it_prints_ratios_and_a_row(capsys):
    words = ["bench", "precision", "-w", "16", "-r", "1"]
    if not has_bf16():
        assert main(words) == 1
        assert "tagger.precision = bf16 needs" in capsys.readouterr().err
        return
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:15].split()[:2] for line in lines[1:4]] == [
        ["16", "one"],
        ["16", "batch"],
        ["16", "training"],
    ]
    row = r'\{"\w+", \d+, \d+, \d+, GN2_BF16_(AVX512|AMX), DOTS, (0|16), (0|16)\},'
    assert re.fullmatch(row, lines[-1]), lines[-1]


def test_a_processor_it_may_not_use_is_refused(capsys):
    assert main(["bench", "precision", "--cpu", "99999"]) == 1
    assert "--cpu 99999: this process has" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ratios, least",
    [
        ([(64, 1.3), (256, 1.7)], 64),
        ([(64, 1.0), (256, 1.7)], 256),
        ([(64, 1.3), (256, 1.0)], 0),
        ([(256, 1.2), (64, 0.9), (128, 1.2)], 128),
    ],
)
def test_a_row_has_the_width_from_which_all_gain(ratios, least):
    assert bench_precision._least(ratios) == least
