# SPDX-License-Identifier: Apache-2.0
"""What gn2 uses of torch, for machines without it: bytes between processes."""

from . import distributed

__version__ = "shim"
uint8 = "B"


def frombuffer(memory, dtype):
    return memoryview(memory).cast(dtype)


__all__ = ["distributed", "frombuffer", "uint8"]
