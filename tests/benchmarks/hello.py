"""A bare Flask hello on granian: the yardstick for everything that Flask answers.

``python tests/benchmarks/hello.py --port 8001 --workers 2`` serves it until it is stopped. POST /hello takes
any body, reads it and says hello; GET /health/ready is for the benchmark that starts it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from flask import Flask, request
from granian.constants import Interfaces
from granian.server import Server

app = Flask(__name__)


@app.post("/hello")
def hello() -> str:
    """Hello, once the body is read."""
    request.get_data()
    return "hello"


@app.get("/health/ready")
def ready() -> str:
    """Up."""
    return "ready"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--workers", type=int, default=2)
    # As many as gateway.yaml's server.threads; fewer are quicker for a hello.
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--runtime-threads", type=int, default=1)
    given = parser.parse_args()
    Server(
        "hello:app",
        address=given.host,
        port=given.port,
        interface=Interfaces.WSGI,
        workers=given.workers,
        blocking_threads=given.threads,
        runtime_threads=given.runtime_threads,
        working_dir=Path(__file__).parent,
    ).serve()


if __name__ == "__main__":
    main()
