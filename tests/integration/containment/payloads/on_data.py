"""Attacks on what others keep: memory, files, services."""
# Fragments of one source text, in which attacks are the point:
# ruff: noqa: ANN001, ANN201, F821, PTH123, S108, SIM115


def own_environment():
    found = [name for name, value in os.environ.items() if all(half in value for half in CANARY["secret"])]
    return found or refuse()


def own_memory():
    first, second = (half.encode() for half in CANARY["secret"])
    for line in open("/proc/self/maps"):
        span, access = line.split()[:2]
        start, end = (int(part, 16) for part in span.split("-"))
        if "rw" in access and end - start < 256 << 20:
            data = ctypes.string_at(start, end - start)
            at = data.find(first)
            while at >= 0:
                if data[at + len(first) :].startswith(second):
                    return f"{span}: the provider key"
                at = data.find(first, at + 1)
    return refuse()


def refuse():
    raise PermissionError(errno.EPERM, "nothing was found")


def reopened():
    """An O_PATH descriptor may be had of anything; a file that can be read may not be made of it."""
    descriptor = os.open("/etc/passwd", os.O_PATH)
    try:
        return contents(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def process_memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        file.seek(int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16))
        return file.read(8)


def read_of_process(pid):
    here = ctypes.create_string_buffer(8)
    ours = theirs = struct.pack("=QQ", ctypes.addressof(here), 8)
    return call("process_vm_readv", pid, ours, 1, theirs, 1, 0)


def traced(pid):
    got = call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE, which does not stop it
    call("ptrace", 17, pid, 0, 0)
    return got


def reached(kind, address, family=socket.AF_INET):
    with socket.socket(family, kind) as sock:
        sock.settimeout(3)
        sock.connect(address)  # which is enough for a stream: its listener hangs up at once
        if kind == socket.SOCK_DGRAM:
            sock.send(b"reached")
    return f"{address!r}"


def metadata_service():
    return refuse() if CANARY["is_control"] else reached(socket.SOCK_STREAM, ("169.254.169.254", 80))


def unbound_datagram(address):
    """A pair of datagram sockets could be sent to any address, without ``connect``."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        return left.sendto(b"reached", address)


def netlink():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        sock.bind((0, 0))
    return "bound"


def listening():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
    return "listening"


def handle():
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    return call("name_to_handle_at", -100, b"/etc/passwd", buffer, ctypes.create_string_buffer(4), 0)


ATTACKS |= {
    "own environment": own_environment,
    "own memory": own_memory,
    "environment of the worker": lambda: contents(f"/proc/{PARENT}/environ"),
    "environment of another process": lambda: contents(f"/proc/{VICTIM}/environ"),
    "memory of the worker": lambda: process_memory(PARENT),
    "memory of another process": lambda: process_memory(VICTIM),
    "process_vm_readv": lambda: read_of_process(VICTIM),
    "ptrace": lambda: traced(VICTIM),
    "command line of another process": lambda: contents(f"/proc/{VICTIM}/cmdline"),
    "kcmp": lambda: call("kcmp", os.getpid(), VICTIM, 0, 0, 0),
    "pidfd": lambda: call("pidfd_open", VICTIM, 0),
    "artifact of another job": lambda: contents(CANARY["artifact"]),
    "settings file": lambda: contents(CANARY["settings"]),
    "source of the service": lambda: contents(CANARY["source"]),
    "users of the machine": lambda: contents("/etc/passwd"),
    "list the root": lambda: os.listdir("/"),
    "list the temporary folder": lambda: os.listdir("/tmp"),
    "list the home": lambda: os.listdir(CANARY["home"]),
    "list the processes": lambda: os.listdir("/proc"),
    "connections of the machine": lambda: contents("/proc/self/net/tcp"),
    "around by /proc/self/root": lambda: contents("/proc/self/root/etc/passwd"),
    "around by a path descriptor": reopened,
    "around by a file handle": handle,
    "open a file handle": lambda: call("open_by_handle_at", -100, bytes(128), 0),
    "TCP": lambda: reached(socket.SOCK_STREAM, tuple(CANARY["tcp"])),
    "UDP": lambda: reached(socket.SOCK_DGRAM, tuple(CANARY["udp"])),
    "metadata service": metadata_service,
    "IPv6": lambda: reached(socket.SOCK_DGRAM, ("::1", CANARY["udp"][1]), socket.AF_INET6),
    "abstract socket": lambda: reached(socket.SOCK_STREAM, "\0" + CANARY["abstract"], socket.AF_UNIX),
    "socket in a folder": lambda: reached(socket.SOCK_STREAM, CANARY["path_socket"], socket.AF_UNIX),
    "datagram to an abstract socket": lambda: unbound_datagram("\0" + CANARY["abstract_datagram"]),
    "datagram to a socket in a folder": lambda: unbound_datagram(CANARY["path_datagram"]),
    "connect the inherited socket": lambda: call("connect", 3, struct.pack("=H", 0), 2),
    "netlink": netlink,
    "listen": listening,
}  # fmt: skip
