# SPDX-License-Identifier: Apache-2.0
"""What was measured, printed: a table a setting, and the goals at the end."""

OURS = ("f32", "weights", "bf16", "auto")  # columns, in this order


def print_rows(head, rows):
    """As Markdown, and aligned for the eye."""
    rows = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows.insert(1, ["-" * max(1, width) for width in widths])
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths))
        print("|", " | ".join(cells), "|", flush=True)


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
        return f"{1e6 / rate:.1f}" if self.unit == "us" else f"{rate:,.0f}"

    def rows(self):
        blank = [""] * len(self.ours)
        for name, rate in self.ours.items():
            yield [f"libgn2 {name}", self.shown(rate), *blank, self.notes[name]]
        for name, rate in self.peers.items():
            ratios = [f"{ours / rate:.2f} ×" for ours in self.ours.values()]
            yield [name, self.shown(rate), *ratios, self.notes[name]]
        for name, reason in self.reasons.items():
            yield [name, "skipped", *blank, reason]

    def print(self):
        print(f"\n**{self.title}**; how many times as fast libgn2 is, by precision:\n")
        print_rows(["", self.unit, *self.ours, ""], self.rows())

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


def goal_row(tables, key, words, goal):
    kind, width, *where = key
    title = f"{kind}, width {width}, {' '.join(map(str, where))}: {', '.join(words)}"
    table = tables.get(key)
    name = table.best(*words) if table else None
    if name is None or "auto" not in table.ours:
        return [title, "", f"{goal}", "not measured"]
    ratio = table.ours["auto"] / table.peers[name]
    met = "met" if ratio >= goal else "missed"
    return [title, f"{ratio:.2f}", f"{goal}", f"{met}: {name}"]


def print_goals(tables):
    print("\n**Goals**; libgn2 at what auto picks here, over the quickest such peer:\n")
    rows = [goal_row(tables, *goal) for goal in GOALS]
    print_rows(["last number: processors", "today", "goal", ""], rows)
