# SPDX-License-Identifier: Apache-2.0
"""Runs our Experiments against Katib's own suggestion services, without a cluster; not
in CI. The services are those of a checkout of kubeflow/katib (v0.19.0), and need an
interpreter with optuna==3.3.0 hyperopt==0.2.5 'numpy<2' 'setuptools<80'
'scikit-learn<1.4' 'protobuf<5' grpcio googleapis-common-protos==1.53.0 PyYAML, and
kubeflow-katib==0.19.0 --no-deps:

    GN2_LIBRARY=build/lib/abi/libgn2.so PYTHONPATH=bindings/python \\
        PYTHON tests/katib/real_services.py CHECKOUT [--real] [ALGORITHM...]

--real trains in every trial; otherwise a stand-in with a known loss runs.
"""

import argparse
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: ours -> (module of the service, its class)
SERVICES = {
    "random": ("hyperopt", "HyperoptService"),
    "tpe": ("optuna", "OptunaService"),
    "grid": ("optuna", "OptunaService"),
}
FAKE = [sys.executable, str(HERE / "fake_trial.py")]
REAL = [sys.executable, "-m", "gn2"]
PARAMETERS = """
  rate: {key: schedule.max, type: real, min: 1e-4, max: 0.1, scale: log}
  warm: {key: schedule.pct_start, type: real, min: 0.01, max: 0.5}
  layers: {key: model.num_layers, type: integer, min: 1, max: 3}
  order: {key: data.sampling, type: choice, values: [jets, sequential]}
"""
CELLS = """
  start: {key: schedule.initial, type: choice, values: [1e-7, 1e-5]}
  rate: {key: schedule.max, type: choice, values: [1e-4, 1e-3, 1e-2]}
"""
SPACE = """\
gn2_space: 1
name: gn2-{algorithm}
algorithm: {{name: {algorithm}, seed: 1}}
parameters: {parameters}
options: {{model.embed_dim: 16, model.num_heads: 2, data.batch_size: 100}}
data: {{train: [jets_train.h5], val: [jets_val.h5]}}
budget: {{steps: 20, validate_steps: 5}}
trials: 12
kubernetes:
  image: registry/gn2:1.0
  parallel: 3
  volumes:
  - {{name: data, mount: /data, persistentVolumeClaim: {{claimName: a}}}}
  - {{name: output, mount: /output, persistentVolumeClaim: {{claimName: b}}}}
"""


def serve(checkout, algorithm):
    """One service on this machine, until it is killed; says its port."""
    manager = pathlib.Path(checkout, "pkg/apis/manager")
    paths = [checkout, manager / "v1beta1/python", manager / "health/python"]
    sys.path[:0] = map(str, paths)
    import importlib

    import grpc
    from pkg.apis.manager.v1beta1.python import api_pb2_grpc

    module, name = SERVICES[algorithm]
    made = importlib.import_module(f"pkg.suggestion.v1beta1.{module}.service")
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    api_pb2_grpc.add_SuggestionServicer_to_server(getattr(made, name)(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    threading.Event().wait()


def experiment(algorithm, checkout, program):
    import driver
    from gn2.hpo import reader, render

    parameters = CELLS if algorithm == "grid" else PARAMETERS
    text = SPACE.format(algorithm=algorithm, parameters=parameters)
    objects = render.objects(reader.load("space.yaml", text), "katib")
    words = [sys.executable, __file__, checkout, "--serve", algorithm]
    service = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        address = f"127.0.0.1:{int(service.stdout.readline())}"
        with tempfile.TemporaryDirectory() as folder:
            run = driver.Driver(
                objects, address, folder, ROOT / "examples/data", program
            )
            trials = run.run()
    finally:
        service.kill()
    values = {tuple(a["value"] for a in t.assignments) for t in trials}
    states = sorted({t.condition for t in trials})
    best = min(float(t.observation[0]["value"]) for t in trials)
    print(
        f"{algorithm}: {len(trials)} trials, {len(values)} different, "
        f"{'/'.join(states)}, best {best:.6g}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    parser.add_argument("algorithms", nargs="*", metavar="ALGORITHM")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--serve", metavar="ALGORITHM", help=argparse.SUPPRESS)
    args = parser.parse_intermixed_args()
    if args.serve:
        serve(args.checkout, args.serve)
        return
    for algorithm in args.algorithms or SERVICES:
        experiment(algorithm, args.checkout, REAL if args.real else FAKE)


if __name__ == "__main__":
    main()
