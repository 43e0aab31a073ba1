# SPDX-License-Identifier: Apache-2.0
"""`gn2.Remote`: to the bit what the tagger gives that is served, and patience."""

import http.server
import json
import os
import pickle
import threading
import time

import numpy as np
import pytest
from conftest import ROOT, SMALL, Sample
from serving import Server, need_packages, replace, rpc_words, running
from serving import path  # noqa: F401  fixture

import gn2
from gn2._protocol import facts_of
from gn2.remote import HEAD

need_packages()

OPTIONS = {"discriminant.D_b.f_c": 0.3}
OUTPUTS = ("origin", "vertex", "D_b", "embedding", "jets.probabilities", "attention")


@pytest.fixture(scope="module")
def server(path):
    words = [f"{k}={v}" for k, v in OPTIONS.items()]
    limits = ["--max-jets", 5, "--max-tracks", 50, "--max-jet-tracks", 45]
    with running(f"{path}=m", *rpc_words(), "--drain", 0, *limits, *words) as found:
        yield found


@pytest.fixture(params=["http", "grpc"])
def remote(request, server):
    port = server.http if request.param == "http" else server.need_rpc()
    with gn2.Remote(f"{request.param}://127.0.0.1:{port}", "m") as found:
        yield found


@pytest.fixture(scope="module")
def local(path):
    with gn2.Tagger(str(path), OPTIONS) as tagger:
        yield tagger


@pytest.fixture(scope="module")
def given(path):
    return Sample(gn2.Model.load(path).inputs, [3, 0, 40, 1, 9, 7, 0, 30, 2, 2, 1, 0])


def equal(found, wanted):
    assert type(found) is type(wanted) and repr(found) == repr(wanted)
    assert found.probabilities.dtype == wanted.probabilities.dtype
    for one, other in (
        (found.probabilities, wanted.probabilities),
        (found.discriminant("b"), wanted.discriminant("b")),
        (found.discriminant("c", f_b=0.3), wanted.discriminant("c", f_b=0.3)),
        *((found[name], wanted[name]) for name in wanted.outputs),
    ):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    for name in wanted.outputs:
        pairs = list(zip(found.split(name), wanted.split(name)))
        assert all((a == b).all() for a, b in pairs)
    assert (found.offsets is None) == (wanted.offsets is None)


def forms(given):
    names = given.jet_names, given.track_names
    tracks, valid = given.padded(45)
    holes = np.random.default_rng(4).permuted(np.arange(45))  # valid ones anywhere
    yield "ragged", given.jets, given.ragged, {}
    yield "list", given.jets, given.split(), {}
    yield "padded", given.jets, tracks, {"valid": valid}
    yield "holes", given.jets, tracks[:, holes], {"valid": valid[:, holes]}
    records = np.zeros(len(given.jets), [(n, "f8") for n in names[0][::-1]])
    for name, column in zip(names[0], given.jets.T):
        records[name] = column
    yield "records", records, (given.records("f8"), given.offsets), {}
    mapping = dict(zip(names[0], given.jets.T))
    yield "columns", mapping, given.ragged, {}
    yield "no tracks", given.jets, None, {}
    yield "nothing", given.jets[:0], None, {}
    yield "strided", np.asfortranarray(given.jets), given.ragged, {}


def test_bits_in_every_form(remote, local, given):
    for form, jets, tracks, more in forms(given):
        wanted = local.tag(jets, tracks, outputs=OUTPUTS, **more)
        equal(remote.tag(jets, tracks, outputs=OUTPUTS, **more), wanted)
    equal(remote(given.jets, given.ragged), local(given.jets, given.ragged))
    remote._known.limits["body"] = HEAD + 3000  # of one jet after another
    equal(remote(given.jets, given.ragged), local(given.jets, given.ragged))


def test_frames(remote, local, given):
    pandas = pytest.importorskip("pandas")
    jets = pandas.DataFrame(dict(zip(given.jet_names, given.jets.T)))
    equal(remote.tag(jets, given.ragged), local.tag(jets, given.ragged))


def test_events_of_awkward_arrays(remote, local, given):
    awkward = pytest.importorskip("awkward")
    columns = {n: c for n, c in zip(given.jet_names, given.jets.T)}
    rows = {
        n: awkward.unflatten(c, given.counts)
        for n, c in zip(given.track_names, given.tracks.T)
    }
    jets = awkward.zip({**columns, "tracks": awkward.zip(rows)}, depth_limit=1)
    equal(remote.tag(jets, outputs="origin"), local.tag(jets, outputs="origin"))
    events = awkward.unflatten(jets, [3, 0, 5, 4])
    found = remote.tag(events, outputs=["origin"])
    wanted = local.tag(events, outputs=["origin"])
    assert type(found) is gn2.EventScores
    for name in ("b", "origin"):
        assert awkward.array_equal(found[name], wanted[name])


def test_what_is_wrong(remote, local, given):
    """The same classes of errors; the server's message, and where to look."""
    bad = given.jets.copy()
    bad[7, 1] = np.nan
    with pytest.raises(gn2.NumericError, match="of jets 4 to 8: jet 3"):
        remote.tag(bad, given.ragged)
    for jets, tracks, more, error in (
        (given.jets[:, :1], None, {}, gn2.ShapeError),
        (given.jets, (given.tracks, given.offsets[1:]), {}, gn2.ShapeError),
        (given.jets, given.ragged, {"outputs": "nonsense"}, gn2.NotFound),
        (given.jets, given.ragged, {"outputs": [7]}, gn2.InvalidArgument),
    ):
        for one in (remote, local):
            with pytest.raises(error):
                one.tag(jets, tracks, **more)
    many = np.zeros((46, 19), "f4")
    with pytest.raises(gn2.InvalidArgument, match="46 tracks in a jet"):
        remote.tag(given.jets[:1], [many])
    with pytest.raises(gn2.NotFound, match="no output 'pairs' is served"):
        remote.tag(given.jets, given.ragged, outputs="pairs")
    with pytest.raises(gn2.NotFound, match="unknown model: 'x"):
        gn2.Remote(remote.url, "x").tag(given.jets)
    equal(remote.tag(given.jets, given.ragged), local.tag(given.jets, given.ragged))


def test_other_processes_and_the_end(remote, local, given):
    wanted = local.tag(given.jets, given.ragged)
    equal(remote.tag(given.jets, given.ragged), wanted)
    if "http" in remote.url:  # grpcio does not like a fork while it has threads
        child = os.fork()
        if child == 0:
            p = remote.tag(given.jets, given.ragged).probabilities
            os._exit(int((p != wanted.probabilities).any()))
        assert os.waitpid(child, 0)[1] == 0
    with pickle.loads(pickle.dumps(remote)) as copy:
        assert repr(copy) == repr(remote)
        equal(copy.tag(given.jets, given.ragged), wanted)
    for call in (lambda: copy.tag(given.jets), lambda: pickle.dumps(copy)):
        with pytest.raises(gn2.StateError, match="this Remote is closed"):
            call()


def test_a_model_that_is_replaced(tmp_path, given):
    """Scores, classes and fractions are of one model."""
    path = tmp_path / "m.gn2"
    data = [
        gn2.Model({**SMALL, "model.seed": s, "discriminant.D_b.f_c": f}).save_bytes()
        for s, f in ((1, 0.2), (2, 0.4))
    ]
    path.write_bytes(data[0])
    server = Server(f"{path}=m", "--drain", 0)
    with gn2.Remote(f"127.0.0.1:{server.http}", "m", batch=2) as remote:
        for k in (0, 1):
            replace(path, data[k])
            while k and not any("took up" in line for line in server.log):
                time.sleep(0.05)
            with gn2.Tagger(gn2.Model.load(data[k])) as local:
                wanted = local.tag(given.jets, given.ragged)
            equal(remote.tag(given.jets, given.ragged), wanted)
    assert server.stop() == 0


def test_example_here_and_there(server, path):
    for name in ("awkward", "h5py"):
        pytest.importorskip(name)
    text = (ROOT / "examples/serve/chunks.py").read_text(encoding="utf-8")
    example = {"__name__": "chunks"}
    exec(compile(text, "chunks.py", "exec"), example)
    data = str(ROOT / "examples/data/jets_test.h5")
    events = next(example["chunks"](data, 20))
    counts = []
    with gn2.Tagger(str(path), OPTIONS) as local:
        example["CUT"] = float(np.median(local.tag(events.jets).flat.discriminant("b")))
        counts.append(example["process"](events, local))
    with gn2.Remote(f"http://127.0.0.1:{server.http}", "m") as remote:
        counts.append(example["process"](events, remote))
    assert counts[0] == counts[1] == {"jets": 20, "b": 10}
    found = example["main"](str(path), data)
    assert found["jets"] == 2500


# ---- patience ----


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives what the server is told to; afterwards, the metadata of a model."""

    def do_GET(self):
        self.server.seen.append(time.monotonic())
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == "late":
            time.sleep(0.5)
        if status == "reset":
            return self.connection.close()
        body = self.server.metadata if status == 200 else b'{"error": "no room"}'
        self.send_response(status if isinstance(status, int) else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def pretender(local):
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    limits = {"jets": 10, "tracks": 10, "body": 1 << 20}
    served = {"sha256": "x", "limits": limits}
    properties = {"gn2": json.dumps(facts_of(local)), "gn2_served": json.dumps(served)}
    found.metadata = json.dumps({"properties": properties}).encode()
    found.answers, found.seen = [], []
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def learn(pretender, *answers, timeout=5.0):
    pretender.answers[:], pretender.seen[:] = answers, []
    url = f"http://127.0.0.1:{pretender.server_address[1]}"
    with gn2.Remote(url, "m", timeout=timeout) as remote:
        remote._learn()
    return np.diff(pretender.seen)


def test_tried_again_where_there_is_no_room(pretender):
    assert len(learn(pretender)) == 0
    pauses = learn(pretender, 503, 503, "reset", 503)
    assert len(pauses) == 4
    assert pauses[-1] > 2 * pauses[0] * 0.5 and pauses.sum() < 3


@pytest.mark.parametrize(
    "answer, error, message",
    [
        (400, gn2.InvalidArgument, "no room"),
        (404, gn2.NotFound, "no room"),
        (413, gn2.InvalidArgument, "no room"),
        (500, gn2.RemoteError, "status 500: no room"),
        (302, gn2.RemoteError, "status 302"),
    ],
)
def test_not_tried_again_else(pretender, answer, error, message):
    with pytest.raises(error, match=message):
        learn(pretender, answer)
    assert len(pretender.seen) == 1


def test_deadlines(pretender):
    with pytest.raises(gn2.RemoteError, match="no answer in time within 0.2 s"):
        learn(pretender, "late", timeout=0.2)
    with pytest.raises(gn2.RemoteError, match="no room; tried . times in 0.4 s"):
        learn(pretender, *[503] * 50, timeout=0.4)
    pretender.metadata = b'{"properties": {}}'
    with pytest.raises(gn2.RemoteError, match="must be `gn2 serve`"):
        learn(pretender)
    pretender.metadata = b"<html>"
    with pytest.raises(gn2.RemoteError, match="is no JSON"):
        learn(pretender)


def test_nobody_there():
    with gn2.Remote("http://127.0.0.1:9", timeout=0.2) as remote:
        with pytest.raises(ConnectionError, match="refused; tried . times in 0.2 s"):
            remote.tag(np.zeros((1, 2)))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:y", "http://x/v2"])
def test_urls_that_are_none(url):
    with pytest.raises(gn2.InvalidArgument, match="no URL of a server"):
        gn2.Remote(url)
    with pytest.raises(gn2.InvalidArgument, match="batch = 0"):
        gn2.Remote("x", batch=0)
