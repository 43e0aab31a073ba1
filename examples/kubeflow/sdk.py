# SPDX-License-Identifier: Apache-2.0
"""Trials of a search by the Kubeflow SDK (PyPI kubeflow 0.5), on this machine.

    python -m venv sdk && . sdk/bin/activate
    pip install kubeflow==0.5.0 && pip install .        # gn2 and its extras too
    python examples/kubeflow/sdk.py examples/hpo/rates.yaml -o trials/1 \\
        max_rate=1e-3 initial_rate=1e-6 warm_up=0.1 decay=1e-5

The SDK's local backend makes a virtual environment for the job and runs the text of
`trial` there; gn2 is called as a program, so it need not be in that environment. The
same function is the trainer of a TrainJob on a cluster (not tried on one), in an image
with gn2 (Containerfile):

    client = TrainerClient()
    runtime = client.get_runtime(NAME)
    client.train(runtime=runtime, trainer=CustomTrainer(func=trial, image=IMAGE,
                 func_args={"space": "/gn2/space.yaml", "out": …, "max_rate": "1e-3"}))

There OptimizerClient.optimize() makes a Katib Experiment of it, with none of what
`gn2 hpo render` takes care of: prefer that.
"""

import argparse
import os
import shutil
import sys
import time


def trial(given=None, **more):
    """Runs `gn2 hpo trial`. The local backend gives one dictionary, Kubernetes gives
    keywords: space, out and the parameters. Only its text is run, so all is in it.
    """
    import subprocess

    words = {**(given or {}), **more}
    program = [words.pop("program", "gn2"), "hpo", "trial", words.pop("space"), "-q"]
    program += ["-o", words.pop("out"), *(f"{k}={v}" for k, v in words.items())]
    done = subprocess.run(program)
    if done.returncode:
        raise SystemExit(done.returncode)


def local_runtime(client):
    """The SDK's local runtime as one that runs Python: with `torch` it would start
    torchrun."""
    runtime = client.get_runtime("torch-distributed")
    runtime.trainer.framework = "plain"
    return runtime


def main():
    from kubeflow.trainer import CustomTrainer, LocalProcessBackendConfig, TrainerClient

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("space")
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    args = parser.parse_intermixed_args()

    arguments = dict(word.split("=", 1) for word in args.parameters)
    arguments.update(space=os.path.abspath(args.space), out=os.path.abspath(args.out))
    arguments["program"] = shutil.which("gn2") or sys.exit("no program gn2")

    client = TrainerClient(backend_config=LocalProcessBackendConfig())
    # the job gets no variables but these
    trainer = CustomTrainer(func=trial, func_args=arguments, env=dict(os.environ))
    start = time.monotonic()
    name = client.train(runtime=local_runtime(client), trainer=trainer)
    # of the failed the default would wait until its time is over
    ends = {"Complete", "Failed"}
    job = client.wait_for_job_status(name, status=ends, timeout=86400)
    print("\n".join(client.get_job_logs(name)))
    print(f"{name}: {job.status} after {time.monotonic() - start:.1f} s")
    return int(job.status != "Complete")


if __name__ == "__main__":
    sys.exit(main())
