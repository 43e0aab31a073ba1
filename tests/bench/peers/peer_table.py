# SPDX-License-Identifier: Apache-2.0
"""What was measured, printed: a table a setting, and the goals at the end."""

OURS = ("f32", "weights", "bf16", "auto")  # columns, in this order


class Table:
    """One setting: ours by precision, peers by name, all in jets a second."""

    def __init__(self, title, unit):
        self.title, self.unit = title, unit
        self.ours, self.peers, self.reasons, self.notes = {}, {}, {}, {}

    def rate(self, name, value, note=""):
        where = self.ours if name in OURS else self.peers
        where[name], self.notes[name] = value, note

    def skip(self, name, reason):
        self.reasons[name] = reason

    def shown(self, rate):
        return f"{1e6 / rate:10.1f}" if self.unit == "us" else f"{rate:10.0f}"

    def rows(self):
        for name, rate in self.ours.items():
            yield f"libgn2 {name}", self.shown(rate), "", self.notes[name]
        for name, rate in self.peers.items():
            cells = (f"{ours / rate:8.2f} x" for ours in self.ours.values())
            yield name, self.shown(rate), "".join(cells), self.notes[name]
        for name, reason in self.reasons.items():
            yield name, "   skipped", "", reason

    def print(self):
        columns = "".join(f"{name:>10s}" for name in self.ours)
        print(f"\n{self.title}; times as fast as the peer, by precision of libgn2:")
        print(f"  {'':48s}{self.unit:>10s}{columns}")
        empty = " " * len(columns)
        for name, figure, cells, note in self.rows():
            print(f"  {name:48s}{figure}{cells or empty}  {note}".rstrip(), flush=True)

    def best(self, *words):
        """The quickest peer whose name has all the words, or None."""
        found = [n for n in self.peers if all(w in n for w in words)]
        return max(found, key=self.peers.get, default=None)


# ---- goals ----

# (key of the table, words of the peers, goal)
GOALS = (
    (("train", 64, 2), ("torch.compile", "f32"), 3.0),
    (("train", 256, 2), ("torch.compile", "f32"), 2.2),
    (("train", 64, 2), ("torch.compile", "bf16"), 1.5),
    (("train", 256, 2), ("torch.compile", "bf16"), 1.5),
    (("one", 256, "flavour"), ("one-jet graph, f32", "ONNX Runtime"), 3.0),
    (("one", 256, "flavour"), ("one-jet graph, int8", "ONNX Runtime"), 1.2),
    (("batch", 256, "flavour", 2), ("ONNX Runtime", "f32"), 2.7),
    (("batch", 256, "flavour", 2), ("ONNX Runtime", "int8"), 1.2),
    (("batch", 64, "flavour", 1), ("JAX",), 2.5),
    (("batch", 64, "flavour", 2), ("JAX",), 2.5),
)


def goal_line(tables, key, words, goal):
    title = f"{key[0]} w{key[1]} {' '.join(map(str, key[2:]))} vs {', '.join(words)}"
    table = tables.get(key)
    name = table.best(*words) if table else None
    if name is None or "auto" not in table.ours:
        return f"  {title:64s}{'-':>8s}{goal:8.1f}  not measured"
    ratio = table.ours["auto"] / table.peers[name]
    met = "met" if ratio >= goal else "missed"
    return f"  {title:64s}{ratio:8.2f}{goal:8.1f}  {met}; {name}"


def print_goals(tables):
    print("\nGoals, libgn2 at what auto picks here over the quickest such peer:")
    print(f"  {'':64s}{'today':>8s}{'goal':>8s}")
    for row in GOALS:
        print(goal_line(tables, *row))
