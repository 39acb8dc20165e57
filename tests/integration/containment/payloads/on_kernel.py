"""Attacks on other processes, on the machine, and on the confinement itself."""
# Fragments of one source text, in which attacks are the point:
# ruff: noqa: ANN001, ANN201, F821, PLC0415, PTH123, S108, SIM115


def forked():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return f"process {child}"


def forked_by_clone3():
    arguments = struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    result = LIBC.syscall(ctypes.c_long(435), arguments, ctypes.c_long(len(arguments)))
    if result == 0:
        os._exit(0)
    if result < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    os.waitpid(result, 0)
    return f"process {result}"


def ran_from_memory():
    result = LIBC.syscall(ctypes.c_long(NUMBERS["memfd_create"][COLUMN]), b"x", ctypes.c_long(0))
    if result < 0:
        raise OSError(ctypes.get_errno(), "memfd_create")
    os.close(result)
    return "an executable file in memory"


def signalled_by_owner(pid):
    """The kernel signals the owner of a descriptor that becomes ready: any process of the same user."""
    left, right = socket.socketpair()
    with left, right:
        fcntl.fcntl(left, fcntl.F_SETOWN, pid)
    return f"owner {pid}"


def signalled_by_ioctl(pid):
    left, right = socket.socketpair()
    with left, right:
        fcntl.ioctl(left, 0x8901, struct.pack("i", pid))  # FIOSETOWN
    return f"owner {pid}"


def typed():
    fcntl.ioctl(0, 0x5412, b"x")  # TIOCSTI
    return "typed"


def thread_bomb():
    release = threading.Event()
    before = threading.stack_size(64 * 1024)
    made = []
    try:
        while len(made) < 5000:
            thread = threading.Thread(target=release.wait, daemon=True)
            thread.start()
            made.append(thread)
        return f"{len(made)} threads"
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, f"stopped at {len(made)}") from error
    finally:
        release.set()
        for thread in made:
            thread.join()
        threading.stack_size(before)


def memory_bomb():
    try:
        return f"{len(bytearray(8 << 30))} bytes"
    except MemoryError as error:
        raise OSError(errno.EPERM, "MemoryError") from error


def raised_limit(kind):
    _, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from error
    return f"{hard + 1}"


def foreign_limit(pid):
    old = ctypes.create_string_buffer(16)
    return call("prlimit64", pid, 7, None, old)


def planted(link, name):
    target = os.path.join(CANARY["writable"], name)
    link(CANARY["artifact"], target)
    os.unlink(target)
    return target


def package_changed():
    with open(dspy.__file__, "ab"):
        return dspy.__file__


def device():
    """Make a FIFO where a job could look."""
    path = os.path.join(CANARY["writable"], "fifo")
    call("mknodat", -100, path.encode(), 0o10600, 0)
    os.unlink(path)
    return path


def descriptors():
    """Find anything besides three standard files and one socket."""
    import stat

    sockets = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:
            continue
        sockets += stat.S_ISSOCK(mode)
        if int(name) > 2 and not stat.S_ISSOCK(mode):
            return f"descriptor {name}: {oct(mode)}"
    return f"{sockets} sockets" if sockets != 1 else refuse()


def privileges():
    told = dict(line.split(":", 1) for line in open("/proc/self/status"))
    capabilities = int(told["CapEff"], 16)
    bad = told["NoNewPrivs"].strip() != "1" or capabilities & ~4 or 0 in (os.getuid(), os.geteuid(), os.getgid())
    return f"uid {os.getuid()}, capabilities {capabilities:x}" if bad else refuse()


def made_folder():
    where = CANARY["writable"] + "/folder"
    os.mkdir(where)
    os.rmdir(where)
    return where


def mounted():
    """Mount over a folder of our own, and take it away again at once."""
    where = CANARY["writable"].encode()
    call("mount", b"none", where, b"tmpfs", 0, None)
    LIBC.umount2(where, 2)
    return where


def became_root():
    os.setuid(0)
    return "root"


ABSENT = 0x63616E61  # a key that nobody has: without confinement the answer is ENOENT, and nothing is made
ATTACKS |= {
    "fork": forked,
    "fork by clone3": forked_by_clone3,
    "shell": lambda: os.system("exit 7") == 7 << 8 or refuse(),
    "program": lambda: subprocess.run(["/bin/true"], check=True).returncode,
    "spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "execute": lambda: os.execv("/nonexistent", ["x"]),
    "program in memory": ran_from_memory,
    "thread bomb": thread_bomb,
    "memory bomb": memory_bomb,
    "write in the working folder": lambda: create(os.path.join(os.getcwd(), "canary")),
    "write in the temporary folder": lambda: create("/tmp/containment-canary"),
    "write in an open folder": lambda: create(os.path.join(CANARY["writable"], "canary")),
    "write in shared memory": lambda: create("/dev/shm/containment-canary"),
    "write to a device": lambda: os.close(os.open("/dev/null", os.O_WRONLY)) or "/dev/null",
    "truncate": lambda: os.truncate(CANARY["scratch"], 0) or CANARY["scratch"],
    "change an installed package": package_changed,
    "change permissions": lambda: os.chmod(CANARY["scratch"], 0o666) or CANARY["scratch"],
    "rename": lambda: os.rename(CANARY["scratch"], CANARY["scratch"]) or CANARY["scratch"],
    "make a folder": made_folder,
    "plant a symlink": lambda: planted(os.symlink, "symlink"),
    "plant a hard link": lambda: planted(os.link, "hardlink"),
    "plant a FIFO": device,
    "signal the worker": lambda: os.kill(PARENT, 0) or "signalled",
    "signal another process": lambda: os.kill(VICTIM, 0) or "signalled",
    "signal everybody": lambda: os.kill(-1, 0) or "signalled",
    "end another process": lambda: refuse() if CANARY["is_control"] else os.kill(VICTIM, signal.SIGKILL) or "ended",
    "signal by tgkill": lambda: call("tgkill", VICTIM, VICTIM, 0),
    "signal by tkill": lambda: call("tkill", VICTIM, 0),
    "queue a signal": lambda: call("rt_sigqueueinfo", VICTIM, 0, bytes(128)),
    "signal by a descriptor's owner": lambda: signalled_by_owner(VICTIM),
    "signal by ioctl": lambda: signalled_by_ioctl(VICTIM),
    "timer that signals": lambda: call("timer_create", 1, None, ctypes.create_string_buffer(8)),
    "type on the terminal": typed,
    "new namespaces": lambda: call("unshare", 0x10000000),
    "join a namespace": lambda: call("setns", 0, 0),
    "mount": mounted,
    "chroot": lambda: call("chroot", b"/"),
    "become root": became_root,
    "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(256)),
    "bpf": lambda: call("bpf", 0, bytes(128), 128),
    "perf": lambda: call("perf_event_open", struct.pack("=II", 1, 128) + bytes(120), 0, -1, -1, 0),
    "userfaultfd": lambda: call("userfaultfd", 1),
    "keyring": lambda: call("add_key", b"user", b"canary", b"x", 1, -2),
    "keyctl": lambda: call("keyctl", 0, -3, 0),
    "personality": lambda: call("personality", 0xFFFFFFFF),
    "System V shared memory": lambda: call("shmget", ABSENT, 4096, 0),
    "System V semaphores": lambda: call("semget", ABSENT, 1, 0),
    "System V messages": lambda: call("msgget", ABSENT, 0),
    "message queue": lambda: call("mq_open", b"containment-absent", os.O_RDWR, 0, None),
    "kernel log": lambda: call("syslog", 10, None, 0),
    "watch files": lambda: call("inotify_init1", 0),
    "watch everything": lambda: call("fanotify_init", 0, 0),
    "undo the hiding": lambda: call("prctl", 4, 1, 0, 0, 0),
    "outlive the worker": lambda: call("prctl", 1, 0, 0, 0, 0),
    "another Landlock": lambda: call("landlock_create_ruleset", None, 0, 1),
    "raise the file size": lambda: raised_limit(resource.RLIMIT_FSIZE),
    "raise the open files": lambda: raised_limit(resource.RLIMIT_NOFILE),
    "raise the memory": lambda: raised_limit(resource.RLIMIT_AS),
    "limit of another process": lambda: foreign_limit(VICTIM),
    "priority": lambda: call("setpriority", 0, 0, 0),
    "other descriptors": descriptors,
    "privileges": privileges,
}  # fmt: skip
