# SPDX-License-Identifier: Apache-2.0
"""The listening socket of HTTP: made, and given up so that nobody is reset."""

from __future__ import annotations

import ctypes
import math
import socket
import struct
import sys

#: instructions of a classic BPF program that is shown the header of TCP
_NO_NEW = (
    (0x30, 0, 0, 13),  # load byte 13, the flags
    (0x54, 0, 0, 0x12),  # and with SYN|ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else pass
)
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the module socket has no name for it


def listening(host: str, port: int, seconds: float) -> socket.socket:
    """A socket that listens.

    Args:
        seconds: after which who does not read what was sent is disconnected.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.create_server((host, port), family=family, backlog=1024)
    # inherited by connections; asyncio sets it for sockets of another making alone, and
    # without it the body of an answer waits 40 ms for the acknowledgement of its head
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = max(1000, math.ceil(seconds * 1000))
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return found


def refuse_new(found: socket.socket) -> None:
    """Nobody new is let in, who is on the way in still is.

    Who has connected and is not accepted yet is reset when a socket is closed. Where
    the first packet of a connection is dropped instead, it is sent again in a second,
    and refused by then; meanwhile all others are accepted.
    """
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("=HBBI", *one) for one in _NO_NEW)
    kept = ctypes.create_string_buffer(code)  # copied by the kernel
    program = struct.pack("HP", len(_NO_NEW), ctypes.addressof(kept))
    try:
        found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        pass  # a sandbox without it: those few may be reset
