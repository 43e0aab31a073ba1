# SPDX-License-Identifier: Apache-2.0
"""A command of gn2 by ranks that are threads of one process.

    threads.py RANKS fit …

Bytes go from one to the other through the memory. For matrix.py.
"""

import contextlib
import ctypes
import queue
import sys
import threading

from gn2 import Group, _ffi
from gn2.cli import common, parser, ranks


class World:
    """Ranks that are threads."""

    def __init__(self, size):
        self.size = size
        self.queues = {(a, b): queue.Queue() for a in range(size) for b in range(size)}
        self.rank = threading.local()

    def exchange(self, me, peer, out, into):
        """GN2_OK, or a failure: nothing may be raised through C."""
        try:
            if out[1]:
                self.queues[me, peer].put(ctypes.string_at(*out))
            if into[1]:
                data = self.queues[peer, me].get(timeout=300)
                if len(data) != into[1]:
                    return -1
                ctypes.memmove(into[0], data, into[1])
            return 0
        except queue.Empty:
            return -1

    def group(self, *_args):
        """Of the thread that calls."""
        me = self.rank.number

        def exchange(_user, peer, out, sent, into, received):
            return self.exchange(me, peer, (out, sent), (into, received))

        transport = _ffi.Transport(
            rank=me, size=self.size, exchange=_ffi.ExchangeFn(exchange)
        )
        return Group._over(transport)


def main():
    world = World(int(sys.argv[1]))
    words, settings = common.split(sys.argv[2:])
    found = {}
    # what ranks print is of the process: here no thread may turn it off
    ranks.group, ranks.silent = world.group, contextlib.nullcontext

    def rank(me):
        world.rank.number = me
        args = parser().parse_args(words)
        args.settings = settings
        found[me] = args.run(args)

    threads = [threading.Thread(target=rank, args=(me,)) for me in range(world.size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(any(found.get(me, 1) for me in range(world.size)))


if __name__ == "__main__":
    main()
