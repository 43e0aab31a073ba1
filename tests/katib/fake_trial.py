# SPDX-License-Identifier: Apache-2.0
"""Stands for `gn2 hpo trial SPACE -o DIR --metrics-file FILE NAME=VALUE…` in tests of
the harness: the same contract, no training. The loss is known, and falls over ten
steps."""

import datetime
import math
import os
import signal
import sys
import time

#: environment: seconds of a step; "fail" in FAKE_TRIAL fails, "empty" writes nothing
PAUSE = float(os.environ.get("FAKE_PAUSE", "0"))
MODE = os.environ.get("FAKE_TRIAL", "")


def main(words):
    assert words[:2] == ["hpo", "trial"], words
    path = words[words.index("--metrics-file") + 1]
    values = dict(word.split("=", 1) for word in words if "=" in word)
    log2 = values.get("log2_rate")
    rate = float(values["rate"]) if log2 is None else 2.0 ** float(log2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with open(path, "a", buffering=1, encoding="utf-8") as file:
        if MODE == "empty":
            return 0
        if MODE == "fail":
            return 2
        for step in range(1, 11):
            time.sleep(PAUSE)
            moment = datetime.datetime.now(datetime.timezone.utc)
            stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            loss = (math.log10(rate) + 2) ** 2 + 1 / step
            file.write(f"{stamp} step={step} val_loss={loss:.9g}\n")
    return 0


sys.exit(main(sys.argv[1:]))
