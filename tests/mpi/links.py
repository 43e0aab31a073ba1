# SPDX-License-Identifier: Apache-2.0
"""Is a step over slow links as long as `gn2 study ranks` reckons?

    links.py BUILD [--ranks 2,4] [--rates 100mbit,1gbit] [--widths 64,256] [--batch N]
        [--steps N] [--within PERCENT] [--explain RATE/RANKS/WIDTH=WHY …] [-o FOLDER]

One rank in each of as many network namespaces, joined by a bridge; a token bucket holds
both ends of every link to a rate. The ranks meet by torch's gloo. On that network they
time messages, to which the study's latency and bandwidth are fitted; then steps are
made in turn by the ranks together, which is what is measured, and by each with others
that answer at once, all ranks at the same time on the processors there are, which is
the computing of the model. To it come the exchanges as the study has them. Where there
are more ranks than processors, both are slower for it. Prints a table in Markdown, with
what is left of a measured step beside computing, and the load of the machine; the
status is 1 where the model is off by more than --within without an explanation.

Wants root and iproute2, and torch in the Python that runs this; the status is 77 where
it cannot run. Leaves no namespace behind. No part of the test suite.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

import mpis
import spaces

PORT = 29517
#: what a bucket lets pass at once, for links have no such store. At 1 Gb/s it takes
#: the kernel's packets of 64 KiB whole, which spares the processor most of the work
BURST = 650e-6  # s
UNITS = {"gbit": 1e9, "mbit": 1e6, "kbit": 1e3}
OPTIONS = {"train.threads": 1, "train.shards": 8, "schedule.steps": 1000000}


# ---- one rank ----


class Steps:
    """Of one width: by the ranks together, and by one whose others answer at once."""

    def __init__(self, group, width, batch):
        import gn2
        from gn2.study import exchanges, ranks

        self.group = group
        sizes = {"data.batch_size": batch, "data.max_jets": batch}
        config = gn2.Config({**OPTIONS, **sizes, "model.embed_dim": width})
        with gn2.Dataset(mpis.DATA / "jets_train.h5", config) as data:
            data.setup(config)
            self.batch = next(iter(data))
        self.echo = ranks.Echo(group.size)
        self.alone = gn2.Trainer(gn2.Model(config), config, group=self.echo.group)
        self.together = gn2.Trainer(gn2.Model(config), config, group=group)
        params = self.alone.model.params.values()
        self.weights = exchanges.arena(tensor.count for tensor in params)

    def _last(self, trainer):
        """Seconds of a step that all begin together, of the slowest rank."""
        self.group.broadcast(b"\0")
        away, start = self.echo.seconds, time.perf_counter()
        trainer.step(*self.batch)
        spent = time.perf_counter() - start - (self.echo.seconds - away)
        return max(map(float, self.group.texts(repr(spent), 32)))

    def turns(self, count):
        """(seconds computing, seconds of a step), medians; the first makes room."""
        found = [
            (self._last(self.alone), self._last(self.together))
            for _ in range(count + 1)
        ]
        return map(statistics.median, zip(*found[1:]))


def rank_main(out, widths, batch, steps):
    import gn2
    from gn2.study import exchanges, ranks

    group = gn2.Group.torch(timeout=300)
    messages = ranks.time_messages(group)
    network = ranks.fit_network(messages, (group.size - 1).bit_length())
    rows = {}
    for width in widths:
        found = Steps(group, width, batch)
        computing, step = found.turns(steps)
        plans = exchanges.plans_of(group.size, found.weights, OPTIONS["train.shards"])
        moving = exchanges.duration(plans, network)
        rows[width] = {"computing": computing, "moving": moving, "step": step}
    if group.rank == 0:
        told = {"network": list(network), "messages": messages, "rows": rows}
        out.write_text(json.dumps(told), encoding="utf-8")


# ---- the network ----


def bits(rate):
    """A second, of a rate as tc has it."""
    return float(rate[:-4]) * UNITS[rate[-4:]]


def throttle(tag, names, rate):
    """Holds both ends of every link to a rate; what was set before is replaced."""
    burst = max(int(BURST * bits(rate) / 8), 3100)  # two packets at least
    bucket = ("root", "tbf", "rate", rate, "burst", str(burst), "latency", "50ms")
    for number, name in enumerate(names, 1):
        ends = ((name, spaces.DEVICE), (spaces.bridge_of(tag), spaces.port(number)))
        for space, device in ends:
            words = ("tc", "-n", space, "qdisc", "replace", "dev", device)
            spaces.must(*words, *bucket)


def together(args, names, folder):
    """What rank 0 found."""
    out = folder / "found.json"
    out.unlink(missing_ok=True)
    env = {
        **mpis.environment(args.build),
        "GLOO_SOCKET_IFNAME": spaces.DEVICE,
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # namespaces have no names
        "WORLD_SIZE": str(len(names)),
        "MASTER_ADDR": spaces.address(1),
        "MASTER_PORT": str(PORT),
    }
    script = [os.path.abspath(__file__), "--rank", out, args.widths, args.batch]
    words = mpis.alone([*script, args.steps])
    jobs = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *words], env={**env, "RANK": str(rank)}
        )
        for rank, name in enumerate(names)
    ]
    try:
        status = [job.wait(1800) for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    if any(status):
        sys.exit(f"ranks ended with {status}")
    return json.loads(out.read_text(encoding="utf-8"))


# ---- the table ----

HEAD = ("link", "ranks", "width", "computing", "exchanges", "model", "measured")
HEAD += ("ratio", "left", "")


def line(cells):
    print("|", " | ".join(map(str, cells)), "|", flush=True)


class Table:
    """Prints rows and counts those that are off."""

    def __init__(self, args):
        self.within = args.within / 100
        self.why = dict(word.split("=", 1) for word in args.explain)
        self.bad = 0
        line(HEAD)
        line("---" for _ in HEAD)

    def row(self, rate, ranks, width, found):
        model = found["computing"] + found["moving"]
        ratio = found["step"] / model
        why = ""
        if abs(ratio - 1) > self.within:
            why = self.why.get(f"{rate}/{ranks}/{width}", "")
            self.bad += not why
            why = why or "OFF"
        left = found["step"] - found["computing"]
        parts = (found["computing"], found["moving"], model, found["step"], left)
        cells = [f"{1e3 * part:.1f}" for part in parts]
        cells.insert(4, f"{ratio:.2f}")
        line((rate, ranks, width, *cells, why))


def numbers(text):
    return [int(word) for word in text.split(",")]


def study(args, folder):
    """Rows that are off."""
    table, notes = Table(args), []
    for ranks in numbers(args.ranks):
        tag = f"gn2-{os.getpid()}-{ranks}"
        hosts = {f"rank{rank}": rank + 1 for rank in range(ranks)}
        with spaces.network(tag, hosts) as names:
            for rate in args.rates.split(","):
                throttle(tag, names, rate)
                found = together(args, names, folder)
                latency, bandwidth = found["network"]
                notes.append(
                    f"{rate}, {ranks} ranks: {1e6 * latency:.0f} µs and "
                    f"{8e-6 * bandwidth:.1f} Mb/s fitted to {found['messages']}"
                )
                for width, row in found["rows"].items():
                    table.row(rate, ranks, width, row)
    print(*notes, sep="\n")
    return table.bad


def main():
    parser = mpis.parser(__doc__)
    add = parser.add_argument
    add("--ranks", default="2,4", help="(2,4)")
    add(
        "--rates", default="100mbit,1gbit", help="in kbit, mbit or gbit (100mbit,1gbit)"
    )
    add("--widths", default="64,256", help="(64,256)")
    add("--batch", type=int, default=40, help="jets a step (40)")
    add("--steps", type=int, default=7, help="of which the median is taken (7)")
    add("--within", type=float, default=25, help="percent (25)")
    add("--explain", action="append", default=[], metavar="RATE/RANKS/WIDTH=WHY")
    args = parser.parse_args()
    if os.geteuid():
        spaces.skip("not root")
    for name in ("ip", "tc"):
        if shutil.which(name) is None:
            spaces.skip(f"no {name}")
    if importlib.util.find_spec("torch") is None:
        spaces.skip("this Python has no torch")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves nothing behind
    with mpis.folder_of(args) as folder:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; in ms")
        sys.exit(study(args, folder) > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        out, widths, batch, steps = sys.argv[2:6]
        rank_main(pathlib.Path(out), numbers(widths), int(batch), int(steps))
    else:
        main()
