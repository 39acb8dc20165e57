"""The runner's side of the socket: questions that wait for their answer, and notes that do not.

One reader thread hands each answer to the thread that asked; one writer thread sends notes (events, logs) in batches,
so that reporting never blocks a compile. Questions are written by the asking thread itself: a hop costs more than a
``send``.
"""

import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import MAX_FRAME_BYTES, Frame, FrameReader, encode
from workers.runner.failures import Cancelled

BATCH_SECONDS = 0.05  # how long a note may wait for company
READ_BYTES = 256 * 1024
EXIT_CLOSED = 3
"""Exit status when the supervisor went away."""

_CANCELLED: Frame = {"t": "cancel"}

Answers = queue.SimpleQueue[Frame]
"""Where the answer to one question is awaited."""


class Channel:
    """Frames to and from the supervisor; safe to use from any thread.

    ``cancelled`` is set by a ``cancel`` frame: every waiting and every later question then raises Cancelled.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._send_lock = threading.Lock()
        self._waiting: dict[int, Answers] = {}
        self._waiting_lock = threading.Lock()
        self._last_id = 0
        self._notes: deque[bytes] = deque()
        self._noted = threading.Event()
        self.inbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        """Frames that answer no question, in order."""
        self.max_frame_bytes = MAX_FRAME_BYTES
        """What the supervisor takes; a larger frame would end the job."""
        self.cancelled = threading.Event()
        self._stop_lock = threading.Lock()
        self._stop: Frame | None = None
        self._act_on_stop: Callable[[Frame], None] | None = None

    def start(self) -> None:
        """Start the reader and the writer; call it after confinement, which covers only later threads."""
        threading.Thread(target=self._read, name="frames-in", daemon=True).start()
        threading.Thread(target=self._write, name="frames-out", daemon=True).start()

    def on_stop(self, act: Callable[[Frame], None]) -> None:
        """Call ``act`` with each ``stop`` frame: on the reader's thread when it comes, now with the last that came."""
        with self._stop_lock:
            self._act_on_stop, stop = act, self._stop
        if stop is not None:
            act(stop)

    def ask(self, frame: Mapping[str, Any], answers: Answers) -> Frame:
        """Send ``frame`` with a fresh ``id`` and wait for its answer, or for whatever else is put into ``answers``.

        Args:
            frame: The question.
            answers: A fresh queue: an abandoned question must answer no later one.

        Raises:
            Cancelled: the supervisor asked to stop at once.
            ProtocolError: the frame is not JSON or too large.
        """
        with self._waiting_lock:
            self._last_id += 1
            number = self._last_id
            self._waiting[number] = answers
        try:
            if self.cancelled.is_set():
                raise Cancelled
            self._send(encode({**frame, "id": number}, max_frame_bytes=self.max_frame_bytes))
            answer = answers.get()
        finally:
            with self._waiting_lock:
                self._waiting.pop(number, None)
        if answer is _CANCELLED:
            raise Cancelled
        return answer

    def note(self, frame: Mapping[str, Any]) -> None:
        """Send ``frame`` soon, in order with other notes; returns at once."""
        self._notes.append(encode(frame, max_frame_bytes=self.max_frame_bytes))
        self._noted.set()

    def flush(self) -> None:
        """Send every note that waits."""
        with self._send_lock:
            pieces = []
            while self._notes:
                pieces.append(self._notes.popleft())
            if pieces:
                self._sock.sendall(b"".join(pieces))

    def say(self, frame: Mapping[str, Any]) -> None:
        """Send ``frame`` now, after every note."""
        self.flush()
        self._send(encode(frame, max_frame_bytes=self.max_frame_bytes))

    def _send(self, data: bytes) -> None:
        with self._send_lock:
            self._sock.sendall(data)

    def _read(self) -> None:
        reader = FrameReader()
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except OSError:
                data = b""
            if not data:
                os._exit(EXIT_CLOSED)  # nobody is left to compute for; atexit hooks are the user's code
            try:
                for frame in reader.feed(data):
                    self._dispatch(frame)
            except ProtocolError:
                os._exit(EXIT_CLOSED)  # the stream cannot be trusted any more

    def _dispatch(self, frame: Frame) -> None:
        if frame["t"] == "cancel":
            self.cancelled.set()
            with self._waiting_lock:
                waiting = list(self._waiting.values())
            for answers in waiting:
                answers.put(_CANCELLED)
        elif frame["t"] == "stop":
            with self._stop_lock:
                self._stop, act = frame, self._act_on_stop
            if act is not None:
                act(frame)
        elif frame["t"] == "answer":
            with self._waiting_lock:
                answers_or_none = self._waiting.get(frame["id"])
            if answers_or_none is not None:
                answers_or_none.put(frame)
        else:
            self.inbox.put(frame)

    def _write(self) -> None:
        while True:
            self._noted.wait()
            self._noted.clear()
            threading.Event().wait(BATCH_SECONDS)
            try:
                self.flush()
            except OSError:
                os._exit(EXIT_CLOSED)
