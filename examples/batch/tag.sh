#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tags a part of a sample, or joins the parts, for a batch system.
#
#   GN2_MODEL    the tagger (best.gn2)
#   GN2_INPUT    a pattern of the inputs, the same for all jobs (data/*.h5)
#   GN2_SCORES   folder of the scores (scores/); parts are in a folder beside it
#   more words are handed on: --part 3/100, --join --force, -t, compute.isa=avx2
: "${GN2_MODEL:=best.gn2}" "${GN2_INPUT:=data/*.h5}" "${GN2_SCORES:=scores/}"
# exec: the batch system's SIGTERM reaches gn2, which leaves no half of a part
exec gn2 tag "$GN2_MODEL" "$GN2_INPUT" -o "$GN2_SCORES" -q "$@"
