# SPDX-License-Identifier: Apache-2.0
"""Studies of a parametrisation: many short trainings, a table, a figure, a verdict.

``gn2 study NAME`` is the way in; a module a study here:

- :mod:`coordcheck`: do activations and their changes keep their size over widths?
- :mod:`lr`: does the best learning rate stay where it is?
- :mod:`schedule`: initial × maximum learning rate of OneCycle.
- :mod:`transfer`: what does a setting tuned on a narrow network cost on a wide one?
- :mod:`width`: is wider always better?
- :mod:`ranks`: what would several machines give? By ``exchanges``, not by trainings.

``task`` says what a run is, ``worker`` does it in a process that ``pool`` starts,
``store`` keeps what is finished, ``plan`` has defaults and arguments, ``bench`` brings
them together, ``fits`` has the statistics, ``pictures`` and ``pictures_runs`` the
figures.
"""
