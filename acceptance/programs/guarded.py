"""Runs a program that ends when whoever started it ends, in whatever way.

``python -m acceptance.programs.guarded PROGRAM …``, as the leader of a process
group, with an input that is never written to: it is closed when the other end has gone.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program; its status, or 128 and the signal that ended it."""
    # The program gets the group's signals itself; this one is to tell how it ended.
    signal.signal(signal.SIGINT, lambda *_: None)
    program = subprocess.Popen(  # noqa: S603 - whoever started this chose it
        sys.argv[1:], stdin=subprocess.DEVNULL
    )

    def end_with_the_starter() -> None:
        sys.stdin.buffer.read()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with_the_starter, daemon=True).start()
    status = program.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # At once: the thread above reads the input, which the end would wait for.
    os._exit(main())
