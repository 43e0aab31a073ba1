# SPDX-License-Identifier: Apache-2.0
"""Jets grouped by event, in awkward arrays: flattened for a call, then grouped again.

Which axis is which is known from the inputs of the model: one number of a jet is at the
jets' depth. Nothing is guessed: constituents have the events and jets of the jets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import Wanted, depth_of, records_of
from ._foreign import is_awkward, kind_of, unmasked
from ._names import resolve
from .errors import InvalidArgument, ShapeError


def flat_events(
    jets: Any, tracks: Any, want: Mapping[str, Wanted]
) -> tuple[Any, Any, Any]:
    """Jets and constituents without the axis of events, and the jets of each event;
    as they are, and None, where they have no such axis.

    Raises:
        InvalidArgument: an event or a jet is None, or constituents are in another form.
        ShapeError: constituents have other events or jets.
    """
    import awkward

    if depth_of(jets, want["jets"]) != 2:
        return jets, tracks, None
    objects = tuple(want)[1:]
    jets = records_of(jets, want["jets"], 2, objects)
    events = unmasked(awkward.num(jets, axis=1), "jets: number of jets by event")
    _check_there(jets, want["jets"])
    if len(objects) == 1 and not isinstance(tracks, Mapping):
        tracks = None if tracks is None else {objects[0]: tracks}
    if isinstance(tracks, Mapping):  # of unknown names the call tells
        tracks = {
            name: _flat_rows(rows, events, want[name]) if name in objects else rows
            for name, rows in tracks.items()
        }
    return awkward.flatten(jets, axis=1), tracks, events


def _check_there(jets: Any, want: Wanted) -> None:
    """No jet, and no input of one, is None."""
    import awkward

    fields = tuple(jets.fields)
    names = resolve(want.inputs, fields, want.name) if fields else ()
    columns = [(f"jets.{name}", jets[name]) for name in names] or [("jets", jets)]
    for what, column in columns:
        none = awkward.is_none(column, axis=1)
        if awkward.any(none):
            places = awkward.local_index(none, axis=1)[none]
            event = int(np.flatnonzero(awkward.num(places, axis=1))[0])
            raise InvalidArgument(
                f"{what} of jet {places[event, 0]} of event {event} is None; leave the "
                "jet out of jets and constituents alike: "
                f"there = ~awkward.is_none({what}, axis=1); jets[there], tracks[there]"
            )


def _flat_rows(rows: Any, events: Any, want: Wanted) -> Any:
    """Constituents of the jets of all events, jets × rows."""
    import awkward

    name = want.name
    if rows is None:
        return None
    if not is_awkward(rows):
        raise InvalidArgument(
            f"{name}: a {kind_of(rows)}, and the jets are an awkward array by event; "
            "give the constituents as one too, events × jets × constituents"
        )
    depth = depth_of(rows, want)
    if depth != 3:
        raise ShapeError(
            f"{name}: an awkward array of {depth} axes, and the jets are grouped by "
            "event; it must have 3, events × jets × constituents, or flatten jets and "
            "constituents alike"
        )
    rows = records_of(rows, want, 3)
    counts = unmasked(awkward.num(rows, axis=1), f"{name}: number of jets by event")
    if len(counts) != len(events):
        raise ShapeError(f"{name}: {len(counts)} events, jets have {len(events)}")
    if (counts != events).any():
        event = int(np.flatnonzero(counts != events)[0])
        raise ShapeError(
            f"{name}: {counts[event]} jets in event {event}, which has "
            f"{events[event]} jets"
        )
    return awkward.flatten(rows, axis=1)


def by_event(values: Any, ends: Any, events: Any) -> Any:
    """Rows of jets, or of what jets own with their first rows ``ends``, by event."""
    import awkward

    if ends is not None:
        values = awkward.unflatten(values, np.diff(ends))
    return awkward.unflatten(values, events)
