# SPDX-License-Identifier: Apache-2.0
"""Sides that take turns: each a process that does one round when told to."""
import os
import statistics
import subprocess
import sys
import tempfile
import time


class Side:
    """A process on some processors. `reason` tells why there is none. pin: from the
    start, or only when it is ready, for those that compile first."""

    def __init__(self, command, threads, env=None, pin="start"):
        self.reason, self.process, self.is_ready = None, None, False
        self.errors = tempfile.TemporaryFile("w+")
        every = sorted(os.sched_getaffinity(0))
        self.cpus = every[-threads:]
        first = self.cpus if pin == "start" else every
        try:
            self.process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)} | (env or {}),
                preexec_fn=lambda: os.sched_setaffinity(0, first),
            )
        except OSError as error:
            self.reason = str(error)

    def pin(self):
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), self.cpus)

    def fail(self):
        """The last line that the process has left is the reason."""
        self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        status = f"ended with status {self.process.returncode}"
        self.reason = lines[-1].strip() if lines else status

    def ready(self):
        while self.reason is None and not self.is_ready:
            line = self.process.stdout.readline()
            if line.strip() == "ready":
                self.pin()
                self.is_ready = True
            elif not line:
                self.fail()
        return self.reason is None

    def ask(self, line):
        """Numbers, or none if there is no process any more."""
        if self.reason is not None:
            return []
        try:
            print(line, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            self.fail()
            return []
        answer = self.process.stdout.readline()
        if not answer:
            self.fail()
        return [float(x) for x in answer.split()]

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()
        self.errors.close()


def skipped(reason):
    """A side that cannot be started."""
    side = Side(["true"], 1)
    side.process.wait()
    side.reason = reason
    return side


def rounds(sides, line, count, pause=0.05):
    """{name: Side} → {name: median of the rounds, of each number}. The pause lets
    threads that wait busily for more work of their own fall asleep."""
    answers = {name: [] for name in sides}
    for _ in range(count):
        for name, side in sides.items():
            time.sleep(pause)
            answer = side.ask(line)
            if answer:
                answers[name].append(answer)
    return {
        name: [statistics.median(column) for column in zip(*rows)]
        for name, rows in answers.items()
        if rows
    }


def serve(step):
    """The process of a Side that trains: answers "losses", and a number of steps by the
    seconds of each. step(i) makes step i and gives its losses."""
    print("ready", flush=True)
    done = 0
    for line in map(str.strip, sys.stdin):
        if line == "losses":
            print(*step(0).tolist(), flush=True)
            continue
        seconds = []
        for i in range(done, done + int(line)):
            start = time.perf_counter()
            step(i)
            seconds.append(time.perf_counter() - start)
        print(*seconds, flush=True)
        done += int(line)
