# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Katib's suggestion and early stopping services: checks every request
and answers as they do, or badly when asked to. It draws at random: it is no sampler."""

import concurrent.futures
import itertools
import math
import random
import time

import grpc

import stubs

#: ways to answer badly
FAULTS = ("", "too few", "too many", "duplicates", "error", "silence", "other names")


class Refused(Exception):
    """A request is not as Katib's controller sends it: (code, details)."""


def need(true, details, code=grpc.StatusCode.INVALID_ARGUMENT):
    if not true:
        raise Refused(code, details)


def answered(method):
    """Refusals become statuses, as does whatever a service raises."""

    def call(self, request, context):
        try:
            return method(self, request)
        except Refused as problem:
            context.abort(*problem.args)
        except ValueError as problem:
            details = f"Exception calling application: {problem}"
            context.abort(grpc.StatusCode.UNKNOWN, details)

    return call


class Service:
    """Both services.

    Attributes:
        requests: for suggestions, all that came.
        stopped: names of trials that were ended early.
    """

    def __init__(self, fault="", after=0):
        assert fault in FAULTS
        self.messages, _ = stubs.load()
        self.fault, self.after = fault, after
        self.requests, self.stopped = [], []
        self.drawn = 0

    # ---- suggestions ----

    @answered
    def ValidateAlgorithmSettings(self, request):
        spec = request.experiment.spec
        self.check_spec(request.experiment)
        if spec.algorithm.algorithm_name == "grid":
            cells = math.prod(len(self.cells(p)) for p in self.parameters(spec))
            need(
                spec.max_trial_count <= cells,
                f"Max Trial Count: {spec.max_trial_count} > all possible search "
                f"combinations: {cells}",
            )
        return self.messages.ValidateAlgorithmSettingsReply()

    def check_spec(self, experiment):
        spec = experiment.spec
        need(experiment.name, "no name")
        need(spec.objective.objective_metric_name, "no objective")
        need(spec.parallel_trial_count > 0, "no parallel trials")
        for row in self.parameters(spec):
            need(row.parameter_type, f"{row.name}: no type")
            space = row.feasible_space
            if row.parameter_type in (1, 2):
                need(float(space.min) < float(space.max), f"{row.name}: no range")
            else:
                need(len(space.list), f"{row.name}: no list")

    @answered
    def GetSuggestions(self, request):
        self.requests.append(request)
        self.check_spec(request.experiment)
        count, total = request.current_request_number, request.total_request_number
        need(0 < count <= total, f"{count} of {total} suggestions")
        need(len(request.trials) <= total - count, "more trials than were asked for")
        for trial in request.trials:
            need(trial.spec.parameter_assignments.assignments, f"{trial.name}: bare")
            if trial.status.condition in (2, 6):  # succeeded, ended early
                for metric in trial.status.observation.metrics:
                    float(metric.value)  # the services do, and fail for ever
        if self.fault and len(self.requests) > self.after:
            return self.bad(request, count)
        return self.reply(self.draw(request.experiment.spec, count))

    @staticmethod
    def parameters(spec):
        return spec.parameter_specs.parameters

    @staticmethod
    def cells(row):
        if row.parameter_type in (3, 4):
            return list(row.feasible_space.list)
        step = float(row.feasible_space.step or 1)
        low, high = float(row.feasible_space.min), float(row.feasible_space.max)
        count = int((high - low) / step + 1e-9) + 1
        return [f"{low + i * step:g}" for i in range(count)]

    def draw(self, spec, count):
        rows = self.parameters(spec)
        if spec.algorithm.algorithm_name == "grid":
            every = list(itertools.product(*map(self.cells, rows)))
            found = every[self.drawn : self.drawn + count]
        else:
            stream = random.Random(self.drawn)
            found = [[self.value(row, stream) for row in rows] for _ in range(count)]
        self.drawn += count
        return [dict(zip((row.name for row in rows), values)) for values in found]

    @staticmethod
    def value(row, stream):
        space = row.feasible_space
        if row.parameter_type in (3, 4):
            return stream.choice(list(space.list))
        low, high = float(space.min), float(space.max)
        if row.parameter_type == 2:
            return str(stream.randrange(int(low), int(high) + 1, int(space.step or 1)))
        if space.distribution == 2:
            return repr(math.exp(stream.uniform(math.log(low), math.log(high))))
        return repr(stream.uniform(low, high))

    def reply(self, rows):
        reply = self.messages.GetSuggestionsReply()
        for values in rows:
            found = reply.parameter_assignments.add()
            for name, value in values.items():
                found.assignments.add(name=name, value=value)
        return reply

    def bad(self, request, count):
        rows = self.draw(request.experiment.spec, count)
        if self.fault == "error":
            raise ValueError("could not convert string to float: ''")
        if self.fault == "silence":
            time.sleep(30)
        if self.fault == "other names":
            rows = [{f"{name}_": value for name, value in row.items()} for row in rows]
        changed = {"too few": rows[1:], "too many": rows + rows[:1]}
        changed["duplicates"] = rows[:1] * len(rows)
        return self.reply(changed.get(self.fault, rows))

    # ---- early stopping ----

    @answered
    def ValidateEarlyStoppingSettings(self, request):
        name = request.early_stopping.algorithm_name
        need(name == "medianstop", f"unknown algorithm {name}")
        return self.messages.ValidateEarlyStoppingSettingsReply()

    @answered
    def SetTrialStatus(self, request):
        self.stopped.append(request.trial_name)
        return self.messages.SetTrialStatusReply()

    @answered
    def GetEarlyStoppingRules(self, request):
        spec = request.experiment.spec
        given = {s.name: int(s.value) for s in spec.early_stopping.algorithm_settings}
        done = [t for t in request.trials if t.status.condition == 2]
        reply = self.messages.GetEarlyStoppingRulesReply()
        if len(done) < given["min_trials_required"]:
            return reply
        # Katib's takes the means over the first steps; these are not sent here
        values = [float(t.status.observation.metrics[0].value) for t in done]
        reply.early_stopping_rules.add(
            name=spec.objective.objective_metric_name,
            value=repr(sum(values) / len(values)),
            comparison="GREATER",
            start_step=given["start_step"],
        )
        return reply


def serve(service):
    """(server, address) of a service on this machine."""
    _, services = stubs.load()
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = grpc.server(pool)
    services.add_SuggestionServicer_to_server(service, server)
    services.add_EarlyStoppingServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"
