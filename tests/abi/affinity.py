# SPDX-License-Identifier: Apache-2.0
"""With OMP_PROC_BIND=true neither loading libgn2 nor loading oneDNN, whose OpenMP
runtime binds the thread that loads it, changes the processors of the host's threads.

affinity.py LIBRARY
"""
import ctypes
import os
import subprocess
import sys

SKIP = 77


def affinities():
    """Of every thread of the process."""
    return [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]


def mapped(name):
    with open("/proc/self/maps") as maps:
        return name in maps.read()


def same(before, what):
    now = affinities()
    if any(mask != before for mask in now):
        sys.exit(f"{what}: the processors were {before}, they are {now}")


def must(library, status):
    if status:
        library.gn2_last_error.restype = ctypes.c_char_p
        sys.exit(library.gn2_last_error().decode())


def use(path):
    before = os.sched_getaffinity(0)
    library = ctypes.CDLL(path)
    same(before, "libgn2 loaded")
    library.gn2_features.restype = ctypes.c_char_p
    features = library.gn2_features().decode()
    if "gemm=onednn" not in features and (mapped("libgomp") or mapped("libdnnl")):
        sys.exit("oneDNN is loaded though nothing asked for it")
    if "onednn=none" in features:
        print("libgn2 leaves the affinity alone; no oneDNN module")
        return
    config, model, tagger = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    must(library, library.gn2_config_create(ctypes.byref(config)))
    must(library, library.gn2_config_set_str(config, b"compute.gemm", b"onednn"))
    must(library, library.gn2_model_create(None, ctypes.byref(model)))
    # packs the weights and runs each product on random numbers
    must(library, library.gn2_tagger_create(model, config, ctypes.byref(tagger)))
    if not mapped("libdnnl"):
        sys.exit("oneDNN is not loaded though it was asked for")
    same(before, "oneDNN loaded and used")
    print("neither libgn2 nor oneDNN binds a thread")


def runtime_binds():
    """Does an OpenMP runtime bind the thread that loads it here at all?"""
    before = os.sched_getaffinity(0)
    ctypes.CDLL("libgomp.so.1")
    return 0 if os.sched_getaffinity(0) != before else 1


def child(*words):
    env = dict(os.environ, OMP_PROC_BIND="true")
    return subprocess.run([sys.executable, __file__, *words], env=env).returncode


def main():
    if sys.argv[1] == "--control":
        return runtime_binds()
    if sys.argv[1] == "--use":
        return use(sys.argv[2])
    if child("--control"):
        print("skipped: no libgomp, or one processor: nothing would bind a thread")
        return SKIP
    return child("--use", sys.argv[1])


sys.exit(main())
