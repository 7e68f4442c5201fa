"""An HTTP/1.1 server that fails where a test wants it to: at any step of the protocol, in any way a peer can.

with FaultServer(Step.BODY, Fault.SILENT) as server:
    ...  # connect to server.port: the response stops in the midst of its body

The first connection meets the fault; those after it are served well, so that a test sees whether a client recovers.
"""

from __future__ import annotations

import select
import ssl
import time
from enum import Enum
from typing import Optional, Sequence, Tuple

from awscrt.testing.scripted import Peer, ScriptedServer

__all__ = ["Fault", "FaultServer", "Step"]

GARBAGE = b"\x00\x01\xfe\xff<garbage>\r\n\x00\r\n"


class Step(Enum):
    """Where an exchange fails. Within a part that is sent, halfway through it."""

    HANDSHAKE = "handshake"
    """After the TCP connection: nothing is read, and no TLS is spoken."""
    REQUEST = "request"
    """In the request's head."""
    REQUEST_BODY = "request body"
    """Before the request's body is read."""
    RESPONSE = "response"
    """Before the first byte of the response."""
    STATUS_LINE = "status line"
    HEADERS = "headers"
    BODY = "body"
    """Of a known length."""
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    LAST_CHUNK = "last chunk"
    TRAILERS = "trailers"
    END = "end"
    """Behind a complete response."""


class Fault(Enum):
    """How it fails."""

    SILENT = "silent"
    """Neither sends nor reads any more, until the client closes."""
    RESET = "reset"
    """Closes with a TCP reset."""
    CLOSE = "close"
    """Closes in an orderly way."""
    GARBAGE = "garbage"
    """Sends bytes that are no HTTP, then waits for the client to close."""
    DRIBBLE = "dribble"
    """Goes on correctly, one byte at a time."""
    SHORT = "short"
    """Announces more than it sends, and closes; for Step.BODY and Step.CHUNK."""
    LONG = "long"
    """Sends more than it announced, then waits for the client to close; for Step.BODY and Step.CHUNK."""


_CHUNKED = {Step.CHUNK_SIZE, Step.CHUNK, Step.LAST_CHUNK, Step.TRAILERS}


class FaultServer(ScriptedServer):
    """Answers every request with ``hello``, but for the fault.

    :param context: makes it a TLS server
    :param pause: seconds between the bytes of Fault.DRIBBLE
    :param body_length: of each request; so much is read behind its head
    """

    def __init__(
        self,
        step: Step,
        fault: Fault,
        *,
        context: Optional[ssl.SSLContext] = None,
        pause: float = 0.0,
        body_length: int = 0,
    ) -> None:
        if fault in (Fault.SHORT, Fault.LONG) and step not in (Step.BODY, Step.CHUNK):
            raise ValueError(f"a {step.value} has no length to lie about")
        super().__init__(self._serve, context=None if step is Step.HANDSHAKE else context)
        self._step = step
        self._fault = fault
        self._pause = pause
        self._body_length = body_length

    def _serve(self, peer: Peer) -> None:
        try:
            if peer.number > 0:
                self._serve_well(peer)
            elif not self._read(peer) and not self._answer(peer):
                self._serve_well(peer)
        except (EOFError, ConnectionError):
            pass  # the client may leave at any time

    def _serve_well(self, peer: Peer) -> None:
        while True:
            peer.receive_until(b"\r\n\r\n")
            peer.receive_exactly(self._body_length)
            peer.send(b"".join(text for _, text in self._parts(None)))

    def _read(self, peer: Peer) -> bool:
        """True when the fault was met."""
        if self._step is Step.REQUEST:
            peer.receive_exactly(1)
        if self._step in (Step.HANDSHAKE, Step.REQUEST):
            return self._fail(peer, b"")
        peer.receive_until(b"\r\n\r\n")
        if self._step is Step.REQUEST_BODY:
            return self._fail(peer, b"")
        peer.receive_exactly(self._body_length)
        return False

    def _parts(self, lie: Optional[Fault]) -> Sequence[Tuple[Step, bytes]]:
        short = 20 if lie is Fault.SHORT else 0
        start = [(Step.STATUS_LINE, b"HTTP/1.1 200 Everything is fine\r\n")]
        if self._step in _CHUNKED:
            return [
                *start,
                (Step.HEADERS, b"Transfer-Encoding: chunked\r\nServer: faulty\r\n\r\n"),
                (Step.CHUNK_SIZE, b"%02x\r\n" % (5 + short)),
                (Step.CHUNK, b"hello" if lie else b"hello\r\n"),
                (Step.LAST_CHUNK, b"0\r\n"),
                (Step.TRAILERS, b"Digest: none\r\n\r\n"),
            ]
        return [
            *start,
            (Step.HEADERS, b"Content-Length: %d\r\nServer: faulty\r\n\r\n" % (5 + short)),
            (Step.BODY, b"hello"),
        ]

    def _answer(self, peer: Peer) -> bool:
        """True when the fault was met."""
        lies = self._fault in (Fault.SHORT, Fault.LONG)
        parts = self._parts(self._fault if lies else None)
        whole = b"".join(text for _, text in parts)
        if self._step is Step.RESPONSE:
            return self._fail(peer, whole)
        sent = 0
        for step, text in parts:
            if step is self._step:
                sent += len(text) if lies else len(text) // 2
                break
            sent += len(text)
        peer.send(whole[:sent])
        return self._fail(peer, whole[sent:])

    def _fail(self, peer: Peer, rest: bytes) -> bool:
        """Does it; ``rest`` is what should have come. False when the exchange is whole nevertheless."""
        if self._fault is Fault.DRIBBLE:
            for at in range(len(rest)):
                peer.send(rest[at : at + 1])
                time.sleep(self._pause)
            return False
        if self._fault is Fault.RESET:
            peer.reset()
        elif self._fault in (Fault.CLOSE, Fault.SHORT):
            peer.close()
        else:
            if self._fault is Fault.GARBAGE:
                peer.send(GARBAGE)
            elif self._fault is Fault.LONG:
                peer.send(b"and more")
            self._wait_for_end(peer)
        return True

    @staticmethod
    def _wait_for_end(peer: Peer) -> None:
        """Without reading: what the client sends stays where it is. Its end shows as a hang-up."""
        poll = getattr(select, "poll", None)
        if poll is None:
            peer.receive_all()
            return
        watcher = poll()
        watcher.register(peer.socket, getattr(select, "POLLRDHUP", select.POLLHUP))
        watcher.poll(30_000)
