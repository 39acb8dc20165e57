"""Submitted as ``signature_code``: tries, inside a runner, everything that a confined process must not be able to do.

It is never imported; the other fragments are appended. Each attack raises OSError when the kernel refuses, or returns
what it got hold of. None does any harm when it succeeds: some day one will, on a developer's machine.
"""
# Fragments of one source text, in which attacks are the point:
# ruff: noqa: ANN001, ANN002, ANN201, F401, F821, PTH108, PTH123

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import dspy

CANARY: dict
"""Replaced by the facts of the run."""

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = {  # x86_64, aarch64
    "add_key": (248, 217), "bpf": (321, 280), "clone3": (435, 435), "chroot": (161, 51),
    "fanotify_init": (300, 262), "inotify_init1": (294, 26), "io_uring_setup": (425, 425), "kcmp": (312, 272),
    "keyctl": (250, 219), "memfd_create": (319, 279), "mknodat": (259, 33), "mount": (165, 40), "mq_open": (240, 180),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "perf_event_open": (298, 241),
    "personality": (135, 92), "pidfd_open": (434, 434), "prctl": (157, 167), "prlimit64": (302, 261),
    "process_vm_readv": (310, 270), "ptrace": (101, 117), "rt_sigqueueinfo": (129, 138), "semget": (64, 190),
    "sendmmsg": (307, 269), "setns": (308, 268), "shmget": (29, 194), "syslog": (103, 116), "timer_create": (222, 107),
    "tgkill": (234, 131), "unshare": (272, 97), "userfaultfd": (323, 282), "connect": (42, 203), "msgget": (68, 186),
    "landlock_create_ruleset": (444, 444), "tkill": (200, 130), "setpriority": (141, 140), "futimesat": (261, 88),
}  # fmt: skip
COLUMN = ("x86_64", "aarch64").index(platform.machine())


class Attack(dspy.Signature):
    """Route the ticket."""

    text: str = dspy.InputField()
    label: str = dspy.OutputField()


def call(name, *arguments):
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *passed)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return f"{name} gave {result}"


def contents(path):
    with open(path, "rb") as file:
        return file.read(64)


def create(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.close(descriptor)
    os.unlink(path)
    return path


PARENT, VICTIM = os.getppid(), CANARY["victim"]
ATTACKS = {}
