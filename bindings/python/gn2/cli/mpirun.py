# SPDX-License-Identifier: Apache-2.0
"""Starts ranks on the hosts that an operator of Kubernetes has listed.

    gn2-mpirun -n 4 gn2 fit jets_train.h5 -v jets_val.h5 -o run

Waits until every host of the list, and this one by its own names, resolves and others
answer on ssh's port; then becomes mpirun of Open MPI 4 or 5 or of MPICH, each told of
the list in the way it reads, this host first, so that rank 0 is here. Variables that
gn2 reads go along, and so do GN2_EXPECT_RANKS and GN2_EXPECT_HOSTS: ranks that are not
where they should be do not train. Without a list all ranks are on this host.

Exit status: that of mpirun; 1 hosts do not answer, 2 the list does not fit.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

from .common import Failure, NotAsked, natural, seconds
from .ranks import HOSTS, RANKS

#: where operators put the list, and what they say it by
USUAL = "/etc/mpi/hostfile"
NAMED = ("HYDRA_HOST_FILE", "OMPI_MCA_orte_default_hostfile")
#: what sshd does not bring to the other hosts
CARRIED = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHON*", "GN2_*", "OMP_*", "HDF5_*", "MPL*"),
    *("MLFLOW_*", "KUBEFLOW_TRAINER_*"),
)
_SSH = "-o ConnectionAttempts=10"
#: of Open MPI 4 and 5: how to reach hosts, by their whole names; copies between
#: processes are refused in pods
REACH = {
    "OMPI_MCA_plm_rsh_args": _SSH,
    "PRTE_MCA_plm_ssh_args": _SSH,
    "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
    "PRTE_MCA_prte_keep_fqdn_hostnames": "true",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
_LINE = re.compile(r"([^\s:]+)(?::(\d+)|.*\bslots\s*=\s*(\d+))?")


def read(path: str) -> dict[str, int]:
    """Slots of the hosts of a list: `host slots=2` (Open MPI) or `host:2` (MPICH)."""
    found: dict[str, int] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = _LINE.match(line.partition("#")[0].strip())
            if match:
                slots = int(match[2] or match[3] or 1)
                found[match[1]] = found.get(match[1], 0) + slots
    if not found:
        raise NotAsked(f"'{path}' names no host")
    return found


# ---- hosts that answer ----


def addresses(host: str) -> list[str]:
    """Addresses of a name."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in found]


def is_here(host: str) -> bool:
    """Is it a name of this host?"""
    for address in addresses(host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as test:
            try:
                test.bind((address, 0))
                return True
            except OSError:
                continue
    return False


def port_of(host: str) -> int:
    """Where ssh would go, by its configuration."""
    words = ["ssh", "-G", host]
    said = subprocess.run(words, capture_output=True, text=True).stdout
    match = re.search(r"^port (\d+)$", said, re.M)
    return int(match[1]) if match else 22


def problem_of(host: str) -> str:
    """Why ranks cannot be started there yet; empty: they can."""
    try:
        if is_here(host):
            return ""
        port = port_of(host)
    except socket.gaierror as problem:
        return f"does not resolve ({problem.strerror})"
    try:
        with socket.create_connection((host, port), 5.0) as link:
            # a mesh's proxy takes connections for those that are not there
            return "" if link.recv(4) == b"SSH-" else f"port {port} is none of ssh"
    except OSError as problem:
        return f"no answer on port {port} ({problem.strerror or problem})"


def wait(hosts: Sequence[str], limit: float) -> None:
    """Waits until ranks can be started on all hosts.

    Raises:
        Failure: not in time.
    """
    end = time.monotonic() + limit
    left = {host: "" for host in hosts}
    while True:
        left = {host: why for host in left if (why := problem_of(host))}
        if not left:
            return
        if time.monotonic() >= end:
            break
        time.sleep(1.0)
    lines = [f"hosts that cannot be reached after {limit:g} s (--wait):"]
    lines += [f"  {host}: {why}" for host, why in left.items()]
    text = "does their pod run (kubectl get pods), and sshd in it (kubectl logs)?"
    raise Failure("\n".join([*lines, text]))


# ---- mpirun ----


def kind_of(program: str) -> str:
    """`openmpi` or `mpich`."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    # Debian's names itself otherwise where it is called by its other name
    if re.search(r"Open MPI|OpenRTE|PRRTE", said):
        return "openmpi"
    if "HYDRA" in said:
        return "mpich"
    raise NotAsked(f"'{program}' is mpirun neither of Open MPI nor of MPICH")


def here_first(hosts: Mapping[str, int]) -> dict[str, int]:
    """Hosts in the order of ranks; operators list the launcher last, or first.

    This one by its own name: MPICH takes another for a host to reach by ssh, where
    the launcher's pod has no sshd, and waits for ever.
    """
    here = sum(slots for host, slots in hosts.items() if is_here(host))
    found = {socket.gethostname(): here} if here else {}
    return {**found, **{h: slots for h, slots in hosts.items() if not is_here(h)}}


def written(hosts: Mapping[str, int], kind: str) -> str:
    """A list of hosts in a file as this MPI reads it."""
    form = "{} slots={}\n" if kind == "openmpi" else "{}:{}\n"
    handle, path = tempfile.mkstemp(prefix="gn2-hosts-")
    with open(handle, "w", encoding="utf-8") as file:
        file.writelines(form.format(*item) for item in hosts.items())
    return path


def used(hosts: Mapping[str, int], ranks: int, path: str) -> int:
    """On how many hosts so many ranks are: one is filled before the next.

    Raises:
        NotAsked: there are too few slots.
    """
    left = ranks
    for number, slots in enumerate(hosts.values(), 1):
        left -= slots
        if left <= 0:
            return number
    raise NotAsked(
        f"-n {ranks}, but '{path}' has {ranks - left} slots on {len(hosts)} hosts"
    )


def words_of(args: argparse.Namespace, kind: str, path: str) -> list[str]:
    """The command line of mpirun."""
    found = [args.mpirun]
    if kind == "mpich":  # takes the whole environment along
        found += ["-f", path] if path else []
        return [*found, "-n", str(args.n), *args.command]
    found += ["--hostfile", path] if path else []
    # without --bind-to ranks of several jobs on a machine would share its first cores
    found += ["-n", str(args.n), "--bind-to", "none"]
    patterns = [*CARRIED, *args.x]
    for name in sorted(os.environ):
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            found += ["-x", name]
    return [*found, *args.command]


def _listed(args: argparse.Namespace) -> str:
    named = [os.environ[name] for name in NAMED if os.environ.get(name)]
    usual = [USUAL] if os.path.exists(USUAL) else []
    given = [args.hostfile] if args.hostfile else []
    return next(iter([*given, *named, *usual]), "")


def start(args: argparse.Namespace) -> None:
    """Becomes mpirun."""
    program = shutil.which(args.mpirun)
    if program is None:
        raise NotAsked(f"there is no program '{args.mpirun}'")
    args.mpirun, kind, path, count = program, kind_of(program), "", 1
    listed = _listed(args)
    if listed:
        hosts = read(listed)
        args.n = args.n or sum(hosts.values())
        wait(list(dict.fromkeys([*hosts, socket.gethostname()])), args.wait)
        hosts = here_first(hosts)
        count, path = used(hosts, args.n, listed), written(hosts, kind)
        for name in (*NAMED, "PRTE_MCA_prte_default_hostfile"):
            os.environ[name] = path
    args.n = args.n or 1
    if args.expect_hosts not in (0, count):
        raise NotAsked(
            f"--expect-hosts {args.expect_hosts}, but {args.n} ranks fill {count}"
            + (f" of the hosts in '{listed}'" if listed else ": no list of hosts")
        )
    for name, value in REACH.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("HYDRA_LAUNCH_EXTRA_ARGS", _SSH)
    os.environ.update({RANKS: str(args.n), HOSTS: str(count)})
    words = words_of(args, kind, path)
    os.execv(program, words)


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="gn2-mpirun",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "--hostfile",
        metavar="FILE",
        help=f"list of hosts (default: {', '.join(NAMED)}, or {USUAL} where it is)",
    )
    found.add_argument("-n", type=natural, default=0, help="ranks (default: all slots)")
    found.add_argument(
        "--expect-hosts",
        type=natural,
        default=0,
        metavar="M",
        help="refuse another number of hosts (default: as many as -n fills)",
    )
    found.add_argument(
        "-x",
        action="append",
        default=[],
        metavar="NAME",
        help=f"a variable, or a pattern, that goes along besides {', '.join(CARRIED)}",
    )
    found.add_argument(
        "--wait", type=seconds, default=300.0, help="seconds for hosts to answer (300)"
    )
    found.add_argument("--mpirun", default="mpirun", help="launcher (mpirun)")
    found.add_argument("command", nargs=argparse.REMAINDER, help="what the ranks run")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command gn2-mpirun."""
    top = parser()
    args = top.parse_args(argv)
    if args.command[:1] == ["--"]:
        del args.command[0]
    if not args.command:
        top.error("nothing to run")
    try:
        start(args)
    except Failure as problem:
        status, text = problem.status, str(problem)
    except OSError as error:
        status, text = 1, str(error)
    print(f"gn2-mpirun: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
