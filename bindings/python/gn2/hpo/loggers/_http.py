# SPDX-License-Identifier: Apache-2.0
"""JSON over HTTP by the standard library."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from ...errors import FileError

TIMEOUT = 10.0  #: seconds of a request


def post(
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    trust: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    """Sends JSON, returns JSON.

    Raises:
        FileError: no answer, or a status that is none of success, with its text.
    """
    return _send(url, json.dumps(body).encode(), headers, trust)


def get(
    url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> dict[str, Any]:
    """Asks for JSON."""
    return _send(f"{url}?{urllib.parse.urlencode(query)}", None, headers, None)


def _send(
    url: str,
    data: bytes | None,
    headers: Mapping[str, str],
    trust: ssl.SSLContext | None,
) -> dict[str, Any]:
    kind = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(url, data, {**kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=trust) as answer:
            text = answer.read()
    except urllib.error.HTTPError as problem:
        said = problem.read(500).decode(errors="replace").strip()
        raise FileError(f"{url}: {problem.code} {problem.reason}: {said}") from None
    except OSError as problem:
        raise FileError(f"{url}: {problem}") from None
    found = json.loads(text) if text.strip() else {}
    return found if isinstance(found, dict) else {}
