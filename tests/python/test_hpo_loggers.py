# SPDX-License-Identifier: Apache-2.0
"""Loggers of a trial against servers of this machine: well-behaved, slow, refusing and
silent ones. None may disturb a training."""

import contextlib
import http.server
import json
import ssl
import struct
import subprocess
import threading
import time

import pytest

from gn2 import FileError, InvalidArgument, cli
from gn2.hpo import books, loggers

TRIAL = books.Trial(
    name="trial-7",
    state="done",
    parameters={"rate": "0.001"},
    options={f"option.{i}": str(i) for i in range(150)},
    metrics={"val_loss": 0.5},
    curve=((10, 0.7), (20, 0.5)),
    resources={"core_seconds": 12.5},
    space="rates",
    version="0.1.0",
)
ROWS = [(10, {"val_loss": 0.7}), (20, {"val_loss": 0.5, "epoch": 1.0})]


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told; server.answer(path, body) -> (status, object)."""

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        self.reply(json.loads(self.rfile.read(size)))

    def do_GET(self):
        self.reply(None)

    def reply(self, body):
        self.server.seen.append((self.path, body, dict(self.headers)))
        status, found = self.server.answer(self.path, body)
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(answer, tls=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answer = [], answer
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


# ---- MLflow ----


def tracking(path, body):
    """As a tracking server answers, for the calls we make."""
    call = path.partition("/mlflow/")[2].partition("?")[0]
    if call == "experiments/get-by-name":
        return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
    if call == "experiments/create":
        return 200, {"experiment_id": "3"}
    if call == "runs/create":
        return 200, {"run": {"info": {"run_id": "abc"}}}
    assert body["run_id"] == "abc"
    return 200, {}


def test_mlflow_gets_a_run(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with serving(tracking) as server:
        address = f"mlflow:http://127.0.0.1:{server.server_port}"
        loggers.replay(loggers.make(address, "x"), TRIAL, ROWS)
    assert {h["Authorization"] for _, _, h in server.seen} == {"Bearer secret"}
    bodies = [body for _, body, _ in server.seen if body]
    assert bodies[1]["run_name"] == "trial-7" and bodies[1]["experiment_id"] == "3"
    params = [row for body in bodies for row in body.get("params", [])]
    assert len(params) == 151 and {"key": "rate", "value": "0.001"} in params
    assert all(len(body.get("params", [])) <= 100 for body in bodies)
    told = {
        (row["step"], row["key"]): row["value"]
        for body in bodies
        for row in body.get("metrics", [])
    }
    assert told[10, "val_loss"] == 0.7 and told[20, "val_loss"] == 0.5
    assert told[20, "core_seconds"] == 12.5
    assert bodies[-1]["status"] == "FINISHED"


def test_mlflow_that_refuses_says_why():
    def refuse(_path, _body):
        return 401, {"message": "who are you"}

    with serving(refuse) as server:
        logger = loggers.make(f"mlflow:http://127.0.0.1:{server.server_port}", "x")
        with pytest.raises(FileError, match="401 .*who are you"):
            logger.begin(TRIAL, 20)


def test_what_is_no_logger_is_refused(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KUBEFLOW_TRAINER_SERVER_URL", raising=False)
    for word, words in [
        ("wandb", "none of tensorboard, mlflow"),
        ("mlflow", "MLFLOW_TRACKING_URI"),
        ("trainjob", "Trainer sets it"),
    ]:
        with pytest.raises(InvalidArgument, match=words):
            loggers.make(word, "x")


# ---- the thread between ----


def background(word, **more):
    return loggers.Background(loggers.make(word, "x"), word.partition(":")[0], **more)


def tell(logger):
    """Tells of a trial; returns (seconds, what went wrong)."""
    start = time.monotonic()
    logger.begin(TRIAL, 20)
    for step, figures in ROWS:
        logger.log(step, figures)
    told = time.monotonic() - start
    return told, logger.end(TRIAL)


@pytest.mark.parametrize("fault", ["none", "refuses", "slow", "nobody"])
def test_no_server_disturbs_a_training(fault):
    def answer(path, body):
        if fault == "slow":
            time.sleep(1)
        return (500, {}) if fault == "refuses" else tracking(path, body)

    with serving(answer) as server:
        port = 1 if fault == "nobody" else server.server_port
        word = f"mlflow:http://127.0.0.1:{port}"
        seconds, problem = tell(background(word, patience=0.5))
    assert seconds < 0.1
    assert bool(problem) == (fault != "none")
    words = {"refuses": "500", "slow": "no answer within 0.5 s", "nobody": "refused"}
    assert words.get(fault, "") in problem


def test_a_queue_has_an_end():
    class Never:
        def begin(self, trial, steps):
            time.sleep(2)

        def log(self, step, figures):
            raise AssertionError

        end = log

    logger = loggers.Background(Never(), "never", length=5, patience=0.2)
    logger.begin(TRIAL, 20)
    start = time.monotonic()
    for step in range(100):
        logger.log(step, {"loss": 1.0})
    assert time.monotonic() - start < 0.5
    assert "more than 5 figures wait" in logger.end(TRIAL)


# ---- status of a TrainJob ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*words, "-keyout", key, "-out", cert], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no openssl")
    return cert, key


@pytest.fixture
def trainer(certificate, tmp_path, monkeypatch):
    """Environment of a pod of a TrainJob; gives the token's file."""
    token = tmp_path / "token"
    token.write_text("first\n", encoding="utf-8")
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_CA_CERT", certificate[0])
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", str(token))

    def at(server):
        url = f"https://127.0.0.1:{server.server_port}/status"
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", url)
        return token

    return at


def test_status_of_a_trainjob(certificate, trainer):
    with serving(lambda *_: (200, {}), certificate) as server:
        token = trainer(server)
        logger = loggers.make("trainjob", "x")
        logger.interval = 0.0
        logger.begin(TRIAL, 20)
        logger.log(10, {"val_loss": 0.7})
        token.write_text("second", encoding="utf-8")
        logger.interval = 60.0
        logger.log(15, {"val_loss": 0.6})  # too soon
        logger.end(TRIAL)
    assert [h["Authorization"] for _, _, h in server.seen] == [
        "Bearer first",
        "Bearer second",
    ]
    first, last = (body["trainerStatus"] for _, body, _ in server.seen)
    assert first["progressPercentage"] == 50 and last["progressPercentage"] == 100
    assert first["metrics"] == [{"name": "val_loss", "value": "0.7"}]
    assert {"name": "val_loss", "value": "0.5"} in last["metrics"]
    assert last["lastUpdatedTime"].endswith("Z")


@pytest.mark.parametrize("fault", [401, 500, "slow", "silent", "other certificate"])
def test_a_trainer_that_answers_badly_disturbs_nothing(
    certificate, trainer, fault, monkeypatch
):
    def answer(*_):
        if fault in ("slow", "silent"):
            time.sleep(0.6 if fault == "slow" else 3)
        return (fault if isinstance(fault, int) else 200), {}

    with serving(answer, certificate) as server:
        trainer(server)
        if fault == "other certificate":
            usual = ssl.get_default_verify_paths().openssl_cafile
            monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_CA_CERT", usual)
        seconds, problem = tell(background("trainjob", patience=0.4))
    assert seconds < 0.1 and problem


# ---- TensorBoard ----


def events(folder):
    """Records of the event files of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    for path in folder.glob("events.out.tfevents.*"):
        data = path.read_bytes()
        while data:
            size = struct.unpack("<Q", data[:8])[0]
            event = Event()
            event.ParseFromString(data[12 : 12 + size])
            data = data[16 + size :]
            yield event


def test_event_files_hold_the_figures(tmp_path, capsys):
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "trial"
    folder.mkdir()
    TRIAL.save(folder)
    lines = [
        f"2026-11-28T15:00:0{i}Z step={step} "
        + " ".join(f"{name}={value:.9g}" for name, value in figures.items())
        for i, (step, figures) in enumerate(ROWS)
    ]
    text = "\n".join(lines) + "\n2026-11-28T15:00:09Z step=30 val_loss=0."
    (folder / "metrics.log").write_text(text, encoding="utf-8")
    words = ["hpo", "export", str(folder), "--to", f"tensorboard:{tmp_path}/tb"]
    assert cli.main(words) == 0
    found = {
        (event.step, value.tag): value.simple_value
        for event in events(tmp_path / "tb" / "trial-7")
        for value in event.summary.value
    }
    assert found[10, "val_loss"] == pytest.approx(0.7)
    assert found[20, "val_loss"] == 0.5 and found[20, "epoch"] == 1
    assert (30, "val_loss") not in found  # half a line is none
    assert cli.main(["hpo", "export", str(folder), "--to", "wandb"]) == 1
