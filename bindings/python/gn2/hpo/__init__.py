# SPDX-License-Identifier: Apache-2.0
"""Search for hyper-parameters: one description, one trial program, three engines.

document.py    YAML with lines
parameter.py   a parameter: range, values, the options it sets
algorithms.py  the table of algorithms and what each engine makes of them
space.py       the space file
"""
