#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One worker of a search, for a batch system. All workers share the folder GN2_SEARCH;
# each takes a trial, or one that was left by a worker that is gone, until all are told.
#
#   GN2_SPACE    space file (space.yaml)
#   GN2_SEARCH   folder on a file system that all nodes see (search)
#   GN2_STORE    store (journal:GN2_SEARCH/journal.log)
#   more words are handed on: -n 100 --hours 7.5
: "${GN2_SPACE:=space.yaml}" "${GN2_SEARCH:=search}"
: "${GN2_STORE:=journal:$GN2_SEARCH/journal.log}"
mkdir -p "$GN2_SEARCH" || exit 1
# exec: the batch system's SIGTERM reaches gn2, which stops with a checkpoint
exec gn2 hpo run "$GN2_SPACE" -o "$GN2_SEARCH" --store "$GN2_STORE" "$@"
