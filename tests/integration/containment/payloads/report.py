"""Runs the attacks that were collected, and prints one line for each."""
# Fragments of one source text, in which attacks are the point:
# ruff: noqa: ANN001, ANN201, BLE001, F821, T201


def outcome(attack):
    try:
        return ["escaped", repr(attack())[:200]]
    except OSError as error:
        return ["refused", errno.errorcode.get(error.errno, str(error.errno)), str(error)[:200]]
    except Exception as error:
        return ["broken", f"{type(error).__name__}: {error}"[:300]]


for title, attempt in ATTACKS.items():
    began = time.monotonic()
    print(json.dumps([title, *outcome(attempt), round(time.monotonic() - began, 3)]))
