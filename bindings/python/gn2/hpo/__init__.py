# SPDX-License-Identifier: Apache-2.0
"""Search for hyper-parameters: one description, one trial program, three engines.

document.py    YAML with lines
parameter.py   a parameter: range, values, the options it sets
algorithms.py  the table of algorithms and what each engine makes of them
space.py       the space file
katib_trials.py  trials that Katib ran, as books
pictures.py    figures of a search
report.py      one HTML file of it
render/        objects of Kubernetes
"""
