# SPDX-License-Identifier: Apache-2.0
"""Search for hyper-parameters: one description, one trial program, three engines.

document.py      YAML with lines
parameter.py     a parameter: range, values, the options it sets
algorithms.py    the table of algorithms and what each engine makes of them
space.py         what a space file says; reader.py reads it
engines.py       what an engine can do of a search
experiment.py    rules of a Katib Experiment; experiment_keys.py its keys
collector.py     how Katib reads a metrics file, and what is wrong with one
books.py         what became of trials: trial.json
katib_trials.py  trials that Katib ran, as books
pictures.py      figures of a search; report.py one HTML file of it
engine.py        the local engine: a search by Optuna; what it is made of:
sampling.py        what Optuna is asked; store.py where it keeps its answers
crew.py            trial programs at work; lease.py who is at work on what
rows.py            the trials of a store, as books; derive.py spaces made of a space
after.py         the best again, the target, a pruned trial to its end
render/          objects of Kubernetes
loggers/         TensorBoard, MLflow, status of a TrainJob
"""
