# SPDX-License-Identifier: Apache-2.0
"""`gn2.Remote`: to the bit what the tagger gives that is served, and patience."""

import contextlib
import http.server
import json
import math
import os
import pickle
import random
import socket
import threading
import time

import numpy as np
import pytest
from conftest import ROOT, SMALL, Sample
from serving import Server, need_packages, replace, rpc_words, running
from serving import path  # noqa: F401  fixture

import gn2
from gn2._protocol import LENGTH, facts_of
from gn2.remote import HEAD
from gn2.serve.protocol import described
from gn2.serve.signatures import Batch

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

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        block, tail = self.server.answer
        text = json.dumps(block).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text + tail)))
        self.send_header(LENGTH, str(len(text)))
        self.end_headers()
        self.wfile.write(text + tail)

    def log_message(self, *_):
        pass


@pytest.fixture
def pretender(local):
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    limits = {"jets": 10, "tracks": 10, "body": 1 << 20}
    served = {"sha256": "x", "limits": limits}
    properties = {"gn2": json.dumps(facts_of(local)), "gn2_served": json.dumps(served)}
    found.told = {
        "properties": properties,
        "outputs": described(Batch(local).outputs),
    }
    found.metadata = json.dumps(found.told).encode()
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
    with pytest.raises(gn2.RemoteError, match="is no JSON object"):
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


# ---- servers that lie ----


def mutants(value, rng, count):
    """Copies of JSON with a part that is another, missing, or there twice."""
    junk = [
        None,
        True,
        -1,
        0,
        2**63,
        1e308,
        math.nan,
        "",
        "x",
        [],
        {},
        [None],
        "FP32",
    ]
    for _ in range(count):
        copy = json.loads(json.dumps(value))
        at, key = {"top": copy}, "top"
        while isinstance(at[key], (dict, list)) and at[key]:
            if rng.random() < 0.15:
                break
            at = at[key]
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if rng.random() < 0.3 and key != "top":
            del at[key]
        elif rng.random() < 0.2 and isinstance(at, list):
            at.insert(key, at[key])
        else:
            at[key] = rng.choice(junk)
        yield at["top"] if key == "top" else copy


DOCUMENTED = (
    gn2.RemoteError,
    gn2.InvalidArgument,
    gn2.NotFound,
    gn2.ShapeError,
    gn2.StateError,
)


def tagged(pretender, given):
    """Its scores of one jet; None: refused as documented."""
    url = f"http://127.0.0.1:{pretender.server_address[1]}"
    with gn2.Remote(url, "m", timeout=5.0) as remote:
        try:
            return remote.tag(given.jets[:1], [given.tracks[:3]], outputs="D_b")
        except DOCUMENTED:
            return None


@pytest.fixture
def honest(pretender, local, given):
    """What the pretender should answer, and the scores then."""
    wanted = local.tag(given.jets[:1], [given.tracks[:3]], outputs="D_b")
    arrays = {"probabilities": wanted.probabilities, "D_b": wanted["D_b"]}
    names = {one["name"]: one for one in pretender.told["outputs"]}
    blocks = [
        {
            **names[name],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    tail = b"".join(array.tobytes() for array in arrays.values())
    pretender.answer = {"outputs": blocks}, tail
    equal(tagged(pretender, given), wanted)
    return wanted


def test_no_number_is_made_of_a_lie(pretender, given, honest):
    """Answers and metadata that are another: the right scores, or refused."""
    rng, (block, tail) = random.Random(11), pretender.answer
    refused = 0
    for other in mutants(block, rng, 300):
        pretender.answer = other, tail
        found = tagged(pretender, given)
        refused += found is None
        assert found is None or (found.probabilities == honest.probabilities).all()
        assert found is None or (found["D_b"] == honest["D_b"]).all()
    assert refused > 100
    pretender.answer = block, tail
    told = {k: json.loads(v) for k, v in pretender.told["properties"].items()}
    for other in mutants({**pretender.told, "properties": told}, rng, 300):
        pretender.metadata = json.dumps(_as_text(other)).encode()
        tagged(pretender, given)


def _as_text(told):
    if not isinstance(told, dict) or not isinstance(told.get("properties"), dict):
        return told
    found = {k: json.dumps(v) for k, v in told["properties"].items()}
    return {**told, "properties": found}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda b, t: (b, t[:-4]), "lacks bytes"),
        (lambda b, t: (b, t + b"\0"), "1 bytes too many"),
        (lambda b, t: (b, np.full(5, np.nan, "f4").tobytes()), "no numbers"),
        (lambda b, t: (b, np.full(5, 2, "f4").tobytes()), "no numbers for prob"),
        (lambda b, t: ({"outputs": b["outputs"] * 2}, t * 2), "twice"),
        (lambda b, t: ({"outputs": b["outputs"][:1]}, t[:16]), "answer lacks D_b"),
        (lambda b, t: (_changed(b, shape=[2, 2]), t), r"of float32 \(2, 2\)"),
        (lambda b, t: (_changed(b, shape=[-2, -2]), t), "16 bytes for FP32"),
        (lambda b, t: (_changed(b, datatype="INT32"), t), "of int32"),
    ],
)
def test_what_is_wrong_in_an_answer_is_told(pretender, given, honest, change, words):
    pretender.answer = change(*pretender.answer)
    url = f"http://127.0.0.1:{pretender.server_address[1]}"
    with gn2.Remote(url, "m") as remote:
        with pytest.raises(gn2.RemoteError, match=words):
            remote.tag(given.jets[:1], [given.tracks[:3]], outputs="D_b")


def _changed(block, **words):
    return {"outputs": [{**block["outputs"][0], **words}, *block["outputs"][1:]]}


@pytest.mark.parametrize("where", ["status", "header", "body", "chunk"])
def test_an_answer_that_drips_is_late(where):
    """However slowly bytes come: the timeout is of the whole request."""
    begin = {
        "status": b"H",
        "header": b"HTTP/1.1 200 OK\r\nX: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    }[where]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            link, _ = listener.accept()
            link.sendall(begin)
            with contextlib.suppress(OSError):
                while True:
                    time.sleep(0.1)
                    link.sendall(b"1")

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        with gn2.Remote(url, timeout=0.5) as remote:
            with pytest.raises(gn2.RemoteError, match="no answer in time"):
                remote.tag(np.zeros((1, 2)))
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("length", ["9" * 30, str(1 << 40), "x", "-1"])
def test_a_length_is_not_trusted_with_memory(length):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                link, _ = listener.accept()
                link.recv(1 << 16)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n[]"
                link.sendall(head.encode())
                link.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with gn2.Remote(url, timeout=0.5) as remote:
            with pytest.raises(gn2.RemoteError):
                remote.tag(np.zeros((1, 2)))
