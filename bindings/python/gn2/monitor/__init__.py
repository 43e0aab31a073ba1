# SPDX-License-Identifier: Apache-2.0
"""Trainings and searches for Prometheus: ``gn2 monitor``.

    table     every metric: name, labels, meaning; doc and dashboards are held to it
    runs      run directories of ``gn2 fit``, read while they grow
    searches  folders of ``gn2 hpo run``, their stores and trials
    spaces    which space file of a folder is that of its search
    exporter  finds both below the paths given, and hands them to prometheus_client

Nothing is asked of a training: files are read, and what is not whole yet is left for
the next time. Needs ``prometheus-client``; stores need ``gn2[hpo]``.
"""
