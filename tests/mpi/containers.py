# SPDX-License-Identifier: Apache-2.0
"""Trains in three containers, each in a network namespace of its own, over ssh, as pods
of an MPIJob or a TrainJob do.

    containers.py BUILD [--mpi NAME=CC,RUN …] [--image NAME] [-o FOLDER]

Containers are of user 1000, read-only, without capabilities; the keys of ssh and the
list of hosts are mounted read-only, and variables are those that the operators set. The
launcher's gn2-mpirun puts ranks where they belong and the model is that of one process.
Open MPI 5 (--mpi openmpi5=VENV/bin/mpicc,VENV/bin/mpirun) started by mpirun alone puts
all ranks beside the launcher, which --expect-hosts refuses.

Wants root, podman, runc, mmdebstrap, iproute2 and openssh-client; the status is 77
where it cannot run. No part of the test suite. Without --image one is made of Debian's
packages and of the recipe in examples/kubeflow; gn2 is that of BUILD.
"""

import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import mpis
from spaces import address, must, network, run, skip

RECIPE = mpis.ROOT / "examples" / "kubeflow"
IMAGE = "localhost/gn2-containers"
#: what gn2 of a build folder links, and MPICH
LINKED = "mpich libhdf5-103-1 libdnnl2 liblz4-1 libgomp1 python3-numpy python3-yaml"
HOME = "/var/lib/gn2"
#: host: end of its address
HOSTS = {"gn2-launcher": 1, "gn2-worker-0": 2, "gn2-worker-1": 3}
LAUNCHER, *WORKERS = HOSTS
#: lists of hosts, as ranks are to be on them
ON_WORKERS = WORKERS
WITH_LAUNCHER = [LAUNCHER, WORKERS[0]]
PLACE = "/etc/mpi/hostfile"
#: what mpi-operator 0.8 and Trainer 2.3 set in the launcher
OPERATOR = {
    "openmpi": {
        "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
        "OMPI_MCA_orte_default_hostfile": PLACE,
        "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10",
        "OMPI_MCA_orte_set_default_slots": "1",
    },
    "mpich": {
        "HYDRA_HOST_FILE": PLACE,
        "HYDRA_LAUNCH_EXTRA_ARGS": "-o ConnectionAttempts=10",
    },
}
WHERE = "import gn2; g = gn2.Group.mpi(); h = g.hosts(); g.rank or print('at', *h)"
OPTIONS = {
    "data.batch_size": 20,
    "data.max_jets": 200,
    "train.epochs": 1,
    "train.threads": 1,
    "train.precision": "f32",
    "model.embed_dim": 32,
    "model.dropout_ffn": 0.1,
}


def full(host):
    return f"{host}.gn2.farm.svc"


# ---- image, files ----


def make_image(folder):
    """The last stage of the recipe, for gn2 of a build folder."""
    if not run("podman", "image", "exists", IMAGE).returncode:
        return
    base = folder / "base.tar"
    must("mmdebstrap", "--variant=minbase", "bookworm", str(base))
    must("podman", "import", str(base), f"{IMAGE}-base")
    text = (RECIPE / "Containerfile").read_text(encoding="utf-8")
    last = text.split("FROM ${BASE}\n")[1].replace("python3 lib", f"{LINKED} lib")
    lines = [line for line in last.splitlines() if "--from=build" not in line]
    recipe = folder / "Containerfile"
    recipe.write_text("\n".join([f"FROM {IMAGE}-base", *lines]), encoding="utf-8")
    words = ["podman", "--runtime", "runc", "build", "--isolation", "chroot"]
    words += ["--network", "host", "--ulimit", "nofile=1024:1024", "-t", IMAGE]
    must(*words, "-f", str(recipe), str(mpis.ROOT))


def make_keys(folder):
    """As a secret that is mounted: root's, readable by the group."""
    folder.mkdir()
    key = folder / "id_rsa"
    words = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "521", "-m", "PEM", "-N", ""]
    must(*words, "-f", str(key))
    shutil.copy(folder / "id_rsa.pub", folder / "authorized_keys")
    for path in folder.iterdir():
        os.chown(path, 0, 1000)
        path.chmod(0o640)
    folder.chmod(0o755)


class Farm:
    """Three hosts."""

    def __init__(self, args, folder, names):
        self.args, self.folder = args, folder
        self.spaces = dict(zip(HOSTS, names))
        self.running = []
        make_keys(folder / "keys")
        rows = [f"{address(n)} {full(host)} {host}\n" for host, n in HOSTS.items()]
        text = "127.0.0.1 localhost\n" + "".join(rows)
        (folder / "hosts").write_text(text, encoding="utf-8")
        self.out = folder / "out"
        self.out.mkdir()
        os.chown(self.out, 1000, 1000)
        for path in (folder, *folder.iterdir()):
            path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else 0o644)

    def list_hosts(self, hosts, kind):
        """The operators' list: by name, nodes before the launcher."""
        form = "{} slots=1\n" if kind == "openmpi" else "{}:1\n"
        place = self.folder / "etc-mpi"
        place.mkdir(exist_ok=True)
        lines = [form.format(full(h)) for h in sorted(hosts, key=LAUNCHER.__eq__)]
        (place / "hostfile").write_text("".join(lines), encoding="utf-8")

    def container(self, host, words, env, mounts, *more):
        """What runs it."""
        found = ["podman", "--runtime", "runc", "run", "--rm", "--name"]
        found += [self.spaces[host], "--network", f"ns:/run/netns/{self.spaces[host]}"]
        found += ["--hostname", host, "--user", "1000:1000", "--read-only"]
        found += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        found += ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
        volumes = {
            self.folder / "keys": f"{HOME}/.ssh",
            self.folder / "hosts": "/etc/hosts",
            **{path: path for path in mounts},
        }
        if host == LAUNCHER:
            volumes[self.folder / "etc-mpi"] = "/etc/mpi"
        found += [f"-v={source}:{place}:ro" for source, place in volumes.items()]
        found += [f"-v={self.out}:{self.out}"]
        found += [f"-e={name}={value}" for name, value in env.items()]
        return [*found, *more, self.args.image or IMAGE, *words]

    def workers(self, mounts):
        words = ["/usr/sbin/sshd", "-De", "-f", f"{HOME}/sshd_config"]
        for host in WORKERS:
            must(*self.container(host, words, {}, mounts, "-d"))
            self.running.append(self.spaces[host])

    def stop(self):
        while self.running:
            run("podman", "rm", "-f", "-t", "0", self.running.pop())


# ---- cases ----


class Case:
    """One MPI on the farm."""

    def __init__(self, farm, mpi):
        self.farm, self.mpi = farm, mpi
        self.kind = "openmpi" if "openmpi" in mpi.version else "mpich"
        beside = pathlib.Path(mpi.run).parent.parent
        self.mounts = [mpis.ROOT, pathlib.Path(farm.args.build).resolve(), farm.folder]
        self.mounts += [] if str(beside) == "/usr" else [beside]
        names = ("GN2_LIBRARY", "GN2_MPI_LIBRARY", "PYTHONPATH", "OMP_NUM_THREADS")
        self.env = {name: mpi.env[name] for name in names}
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self.env.update(OPERATOR[self.kind])

    def words(self, command, start=("-m", "gn2.cli.mpirun")):
        return ["python3", *start, "--mpirun", self.mpi.run, "-n", "2", *command]

    def launch(self, words):
        """Of the launcher: (status, what was said)."""
        words = self.farm.container(LAUNCHER, words, self.env, self.mounts)
        done = run(*words, timeout=400)
        return done.returncode, done.stdout + done.stderr

    def ranks_are_on(self, hosts):
        self.farm.list_hosts(hosts, self.kind)
        status, said = self.launch(self.words(["python3", "-c", WHERE]))
        return status == 0 and f"at {' '.join(hosts)}\n" in said, said

    def trains(self, wanted, name):
        out = self.farm.out / name
        command = ["python3", *mpis.fit_words(out, OPTIONS)]
        status, said = self.launch(self.words(command))
        return status == 0 and digest(out) == wanted, said

    def alone_refuses(self):
        """mpirun with the operators' variables alone."""
        out = self.farm.out / f"{self.mpi.name}-alone"
        command = [*mpis.fit_words(out, OPTIONS), "--expect-hosts", "2"]
        status, said = self.launch([self.mpi.run, "-n", "2", "python3", *command])
        good = status == 2 and "--expect-hosts 2, but ranks are on 1:" in said
        return good and f"  {LAUNCHER}: rank 0, 1\n" in said and not out.exists(), said

    def nobody_there(self):
        """A worker that never comes."""
        self.farm.list_hosts(WORKERS, self.kind)
        words = self.words(["python3", "-c", WHERE])
        status, said = self.launch([*words[:3], "--wait", "2", *words[3:]])
        return (
            status == 1 and f"  {full(WORKERS[0])}: no answer on port 2222" in said,
            said,
        )

    def late(self):
        """The launcher is there before its workers."""
        self.farm.list_hosts(WORKERS, self.kind)
        words = self.words(["python3", "-c", WHERE])
        words = self.farm.container(LAUNCHER, words, self.env, self.mounts)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as job:
            time.sleep(6)
            waits = job.poll() is None
            self.farm.workers(self.mounts)
            said, _ = job.communicate(timeout=400)
        return (
            waits and job.returncode == 0 and f"at {' '.join(WORKERS)}\n" in said,
            said,
        )


def digest(folder):
    try:
        return hashlib.sha256((folder / "model.gn2").read_bytes()).hexdigest()
    except OSError as problem:
        return str(problem)


def alone(args, folder, env):
    """The model of one process, outside."""
    out = folder / "one"
    words = mpis.alone(mpis.fit_words(out, OPTIONS))
    done = run(*words, env={**os.environ, **env}, timeout=400)
    if done.returncode:
        sys.exit(f"one process does not train: {done.stderr}")
    return digest(out)


def cases(farm, mpi, wanted):
    """(what is claimed, whether it is so, what was said)"""
    case = Case(farm, mpi)
    try:
        yield "no worker: told, status 1", *case.nobody_there()
        yield "workers come late: waited for", *case.late()
        yield "a rank on each worker", *case.ranks_are_on(ON_WORKERS)
        yield "model of one process", *case.trains(wanted, f"{mpi.name}-workers")
        yield "launcher computes: rank 0", *case.ranks_are_on(WITH_LAUNCHER)
        yield "model of one process", *case.trains(wanted, f"{mpi.name}-launcher")
        if re.search(r"openmpi.* [5-9]", mpi.version):
            yield "mpirun alone: refused", *case.alone_refuses()
    finally:
        farm.stop()


def main():
    parser = mpis.parser(__doc__)
    parser.add_argument("--image", help="an image in place of the one that is made")
    args = parser.parse_args()
    if os.geteuid():
        skip("not root")
    for name in ("podman", "runc", "mmdebstrap", "ip", "ssh-keygen"):
        if shutil.which(name) is None:
            skip(f"no {name}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves nothing behind
    bad = 0
    tag = f"gn2-{os.getpid()}"
    with mpis.folder_of(args) as folder, network(tag, HOSTS) as names:
        if args.image is None:
            make_image(folder)
        found = mpis.all_of(args, folder)
        farm = Farm(args, folder, names)
        wanted = alone(args, folder, found[0].env)
        print(f"one process: {wanted[:12]}")
        for mpi in found:
            for claim, good, said in cases(farm, mpi, wanted):
                print(f"{mpi.version}: {claim}: {'yes' if good else 'NO'}", flush=True)
                if not good:
                    bad += 1
                    print(said)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
