"""Where an endpoint runs: on a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import IO, Any, Callable, Dict, Union

from awscrt.testing._server import EndpointServer, S3EndpointOptions


class ThreadRunner:
    """Runs a server on a thread."""

    def __init__(self, options: S3EndpointOptions) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = EndpointServer(options)
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="s3-endpoint", daemon=True)
        self._thread.start()
        self.port = started.result()

    def _run(self, started: Future[int]) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()
        self._server.close()

    async def _serve(self, started: Future[int]) -> None:
        self._stopped = asyncio.get_event_loop().create_future()
        try:
            listener, port = await self._server.listen()
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(port)
        await self._stopped
        # Connections being accepted and responses under way are tasks; each ends when its connection does. The
        # listener is closed after them: asyncio cannot finish accepting for a closed one.
        for sock in listener.sockets:
            self._loop.remove_reader(sock.fileno())
        while self._server.abort_connections() or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)
        listener.close()

    def call(self, command: str, arguments: Dict[str, Any]) -> Any:
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(self._server.control(command, arguments))
            except BaseException as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set_result, None)
            self._thread.join()


def to_json(value: Any) -> str:
    """One line of JSON; bytes become ``{"base64": ...}``."""

    def default(item: Any) -> Any:
        if isinstance(item, (bytes, bytearray, memoryview)):
            return {"base64": base64.b64encode(item).decode()}
        raise TypeError(f"cannot send {type(item).__name__} to the endpoint's process")

    return json.dumps(value, default=default)


def from_json(line: Union[str, bytes]) -> Any:
    """The inverse of to_json."""
    return json.loads(line, object_hook=lambda o: base64.b64decode(o["base64"]) if set(o) == {"base64"} else o)


class ProcessRunner:
    """Runs a server in a process of its own, told what to do over its standard input."""

    def __init__(self, options: S3EndpointOptions) -> None:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awscrt.testing._s3_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._lock = threading.Lock()
        self.pid = self._process.pid
        try:
            self.port = int(self._exchange(dataclasses.asdict(options)))
        except BaseException:
            self.close()
            raise

    def _exchange(self, message: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with self._lock:
            stdin.write(to_json(message).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise RuntimeError(f"the endpoint's process {self.pid} has ended with status {self._process.wait()}")
        answer = from_json(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def call(self, command: str, arguments: Dict[str, Any]) -> Any:
        return self._exchange({"command": command, "arguments": arguments})

    def close(self) -> None:
        """Ends the process by closing its standard input; kills it when it does not listen."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve_process(commands: IO[bytes], answers: IO[bytes]) -> None:
    """The main loop of the endpoint's process: options, then commands, until the input ends."""
    options = S3EndpointOptions(**from_json(commands.readline()))

    def answer(function: Callable[[], Any]) -> None:
        try:
            message = {"result": function()}
        except Exception as error:
            message = {"error": f"{type(error).__name__}: {error}"}
        answers.write(to_json(message).encode() + b"\n")
        answers.flush()

    try:
        server = ThreadRunner(options)
    except Exception as error:
        answers.write(to_json({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        answers.flush()
        return
    answer(lambda: server.port)
    for line in commands:
        message = from_json(line)
        answer(lambda m=message: server.call(m["command"], m["arguments"]))  # type: ignore[misc]
    server.close()
