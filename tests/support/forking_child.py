"""A child that leaves a grandchild behind, says its number, and waits."""

import os
import signal

if __name__ == "__main__":
    grandchild = os.fork()
    if grandchild:
        print(grandchild, flush=True)  # noqa: T201  # how the test reads it
    while True:
        signal.pause()
