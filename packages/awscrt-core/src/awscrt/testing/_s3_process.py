"""Entry point of the endpoint's own process (see S3Endpoint.start_process)."""

import os
import signal
import sys

from awscrt.testing._runners import serve_process

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes our input
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing but answers may reach the pipe
    serve_process(sys.stdin.buffer, answers)
