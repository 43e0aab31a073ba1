# SPDX-License-Identifier: Apache-2.0
"""Network namespaces joined by a bridge, as hosts are by a switch: for the scripts of
this folder that want root and iproute2.
"""

import contextlib
import subprocess
import sys

NET = "10.213.7"
#: of every host, whose other end is a port of the bridge
DEVICE = "eth0"


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, **more)


def must(*words, **more):
    done = run(*words, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.strip()


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def address(number):
    return f"{NET}.{number}"


def bridge_of(tag):
    """The namespace of the bridge."""
    return f"{tag}-bridge"


def port(number):
    """Of the bridge, to the host with this end of its address."""
    return f"v{number}"


@contextlib.contextmanager
def network(tag, hosts):
    """A namespace a host, and one with a bridge that joins them; their names.

    Args:
        tag: that all names begin with.
        hosts: end of the address by name.
    """
    bridge = bridge_of(tag)
    names = [f"{tag}-{host}" for host in hosts]
    try:
        for name in (bridge, *names):
            must("ip", "netns", "add", name)
        must("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
        must("ip", "-n", bridge, "link", "set", "br0", "up")
        for name, number in zip(names, hosts.values()):
            v = port(number)
            ends = (DEVICE, "netns", name, "type", "veth", "peer", v)
            must("ip", "link", "add", *ends, "netns", bridge)
            must("ip", "-n", bridge, "link", "set", v, "master", "br0", "up")
            own = f"{address(number)}/24"
            must("ip", "-n", name, "addr", "add", own, "dev", DEVICE)
            must("ip", "-n", name, "link", "set", DEVICE, "up")
            must("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in (*names, bridge):
            run("ip", "netns", "delete", name)
