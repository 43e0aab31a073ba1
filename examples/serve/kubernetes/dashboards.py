# SPDX-License-Identifier: Apache-2.0
"""Writes base/service.json and base/training.json: dashboards for Grafana.

Import them by hand, or let Grafana's sidecar find the ConfigMap gn2-dashboards.
"""

import json
import pathlib

#: (title, unit, [(query, legend)]), two in a row
SERVICE = [
    (
        "Requests a second by outcome",
        "reqps",
        [
            (
                "sum by (transport, outcome) "
                "(rate(gn2_requests_total[$__rate_interval]))",
                "{{transport}} {{outcome}}",
            )
        ],
    ),
    (
        "Jets a second",
        "short",
        [("sum by (model) (rate(gn2_jets_total[$__rate_interval]))", "{{model}}")],
    ),
    (
        "Time in the network",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le, model) "
                "(rate(gn2_network_seconds_bucket[$__rate_interval])))",
                f"{{{{model}}}} p{round(100 * q)}",
            )
            for q in (0.5, 0.99)
        ],
    ),
    (
        "Time in the queue",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le) "
                "(rate(gn2_queue_seconds_bucket[$__rate_interval])))",
                f"p{round(100 * q)}",
            )
            for q in (0.5, 0.99)
        ],
    ),
    (
        "Jets of a call, mean",
        "short",
        [
            (
                "sum by (model) (rate(gn2_batch_jets_sum[$__rate_interval])) / "
                "sum by (model) (rate(gn2_batch_jets_count[$__rate_interval]))",
                "{{model}}",
            )
        ],
    ),
    (
        "Jets refused for their values, a second",
        "short",
        [
            (
                "sum by (model) (rate(gn2_refused_jets_total[$__rate_interval]))",
                "{{model}}",
            )
        ],
    ),
    (
        "Memory and processors",
        "short",
        [
            ('process_resident_memory_bytes{job=~"gn2.*"} / 2^30', "{{pod}} GiB"),
            (
                'rate(process_cpu_seconds_total{job=~"gn2.*"}[$__rate_interval])',
                "{{pod}} processors",
            ),
        ],
    ),
    (
        "Time since the start",
        "s",
        [('time() - process_start_time_seconds{job=~"gn2.*"}', "{{pod}}")],
    ),
    (
        "Open files, share of what is allowed",
        "percentunit",
        [
            (
                'process_open_fds{job=~"gn2.*"} / process_max_fds{job=~"gn2.*"}',
                "{{pod}}",
            )
        ],
    ),
    (
        "Models: pods by digest of the file",
        "short",
        [("count by (model, sha256) (gn2_model_info)", "{{model}} {{sha256}}")],
    ),
    (
        "Models: pods whose file cannot be used, the old model is served",
        "short",
        [("sum by (model) (gn2_model_stale)", "{{model}}")],
    ),
    (
        "Models: files taken up or not, of an hour",
        "short",
        [
            (
                "sum by (model, outcome) (increase(gn2_model_loads_total[1h]))",
                "{{model}} {{outcome}}",
            )
        ],
    ),
    (
        "Inputs off their normalisation: mean beyond 0.3, width beyond 0.1",
        "short",
        [
            ("abs(gn2_input_mean) > 0.3", "{{model}} {{object}}.{{input}} mean"),
            (
                "gn2_input_width > 1.1 or gn2_input_width < 0.9",
                "{{model}} {{object}}.{{input}} width",
            ),
        ],
    ),
    (
        "Inputs that are not finite, or too far",
        "percentunit",
        [
            (
                f"max by (model, object, input) (gn2_input_{kind}_ratio) > 0",
                f"{{{{model}}}} {{{{object}}}}.{{{{input}}}} {word}",
            )
            for kind, word in (("nonfinite", "not finite"), ("far", "too far"))
        ],
    ),
    (
        "Rows that the figures of inputs are of",
        "short",
        [("sum by (model, object) (gn2_input_rows)", "{{model}} {{object}}")],
    ),
    (
        "Flavours",
        "percentunit",
        [("avg by (model, flavour) (gn2_flavour_ratio)", "{{model}} {{flavour}}")],
    ),
    (
        "Discriminants",
        "short",
        [
            (
                "avg by (model, discriminant, share) (gn2_discriminant_quantile)",
                "{{model}} {{discriminant}} {{share}}",
            )
        ],
    ),
]
TRAINING = [
    (
        "Loss",
        "short",
        [
            ('gn2_run_loss{task="all"}', "{{run}}"),
            ('gn2_run_validation_loss{task="all"}', "{{run}} validation"),
        ],
    ),
    (
        "Loss of the tasks, validation",
        "short",
        [('gn2_run_validation_loss{task!="all"}', "{{run}} {{task}}")],
    ),
    ("Learning rate", "sci", [("gn2_run_learning_rate", "{{run}}")]),
    ("Gradient's norm", "short", [("gn2_run_gradient_norm", "{{run}}")]),
    ("Jets a second", "short", [("gn2_run_jets_per_second", "{{run}}")]),
    (
        "Steps and epochs",
        "short",
        [("gn2_run_step", "{{run}} step"), ("gn2_run_epoch", "{{run}} epoch")],
    ),
    ("Time of the training", "s", [("gn2_run_seconds", "{{run}}")]),
    (
        "Runs by state",
        "short",
        [("count by (state) (gn2_run_state)", "{{state}}")],
    ),
    (
        "Silence of those that run",
        "s",
        [
            (
                "time() - gn2_run_updated_seconds and on (run) "
                'gn2_run_state{state="running"} == 1',
                "{{run}}",
            )
        ],
    ),
    ("Least loss of a validation", "short", [("gn2_run_best_loss", "{{run}}")]),
    (
        "Trials by state",
        "short",
        [
            ("gn2_search_trials", "{{search}} {{state}}"),
            ("gn2_search_wanted", "{{search}} wanted"),
        ],
    ),
    ("Best value", "short", [("gn2_search_best", "{{search}} {{metric}}")]),
    (
        "Hours of processors, and of trials",
        "h",
        [
            ("gn2_search_core_seconds / 3600", "{{search}} processors"),
            ("gn2_search_wall_seconds / 3600", "{{search}} trials"),
        ],
    ),
    ("Energy", "joule", [("gn2_search_joules", "{{search}} {{part}}")]),
    ("Unreadable", "short", [("gn2_monitor_unreadable", "{{path}}")]),
]
SOURCE = {"type": "prometheus", "uid": "${source}"}


def panel(number, title, unit, queries):
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {
            "legend": {
                "displayMode": "list",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + k),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": expression,
                "legendFormat": legend,
                "range": True,
            }
            for k, (expression, legend) in enumerate(queries)
        ],
    }


def dashboard(uid, title, panels):
    """In Grafana's classic form, as of version 10 (schema 39)."""
    source = {"name": "source", "label": "Prometheus", "type": "datasource"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["gn2"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [{**source, "query": "prometheus"}]},
        "annotations": {"list": []},
        "panels": [panel(k, *row) for k, row in enumerate(panels)],
    }


#: file -> what is in it
DASHBOARDS = {
    "service.json": dashboard("gn2-service", "GN2: service", SERVICE),
    "training.json": dashboard("gn2-training", "GN2: trainings, searches", TRAINING),
}


def text(name):
    return json.dumps(DASHBOARDS[name], indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    folder = pathlib.Path(__file__).resolve().parent / "base"
    for name in DASHBOARDS:
        (folder / name).write_text(text(name), encoding="utf-8")
