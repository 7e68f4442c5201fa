"""The services that credentials come from, on loopback, with faults at every step.

with InstanceMetadata() as imds:
    os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = imds.url
    imds.fail("token", Fault(status=403))
    ...  # ask for credentials
    assert [request.step for request in imds.requests] == ["token", "roles", "role"]

Every service gives :data:`KEY_ID`, :data:`SECRET` and :data:`TOKEN` unless told otherwise.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional, Tuple, TypeVar
from urllib.parse import parse_qs

__all__ = [
    "EXPIRATION",
    "EXPIRATION_EPOCH",
    "KEY_ID",
    "SECRET",
    "TOKEN",
    "CognitoIdentity",
    "ContainerEndpoint",
    "Fault",
    "InstanceMetadata",
    "IotCredentials",
    "Recorded",
    "SecurityTokenService",
    "Service",
    "SignIn",
    "SingleSignOn",
]

KEY_ID, SECRET, TOKEN = "AKIDSERVED", "served/secret", "served+token=="
EXPIRATION = "2099-01-02T03:04:05Z"
EXPIRATION_EPOCH = 4071006245


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request: another status or body, or no answer at all."""

    status: int = 200
    body: Optional[bytes] = None  #: None: what the service says otherwise
    close: bool = False  #: the connection ends without an answer
    stall: bool = False  #: no answer until the service ends
    cut: bool = False  #: the connection ends after the first half of the body


@dataclass(frozen=True)
class Recorded:
    """A request as it was received."""

    step: str
    method: str
    path: str
    headers: List[Tuple[str, str]]
    body: bytes

    def header(self, name: str) -> Optional[str]:
        """The value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def form(self) -> Dict[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}


@dataclass
class _Planned:
    fault: Fault
    times: int


Answer = Tuple[str, int, bytes]  # step, status, body
_Service = TypeVar("_Service", bound="Service")


class Service:
    """A service on a port of its own.

    :param context: makes it a TLS server
    """

    def __init__(self, *, context: Optional[ssl.SSLContext] = None) -> None:
        self.requests: List[Recorded] = []
        self._faults: Dict[str, List[_Planned]] = {}
        self._ended = threading.Event()
        self._server = _Server(self)
        self._context = context
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Of its root, without a slash at the end."""
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def steps(self) -> List[str]:
        """What was asked for, in order."""
        return [request.step for request in self.requests]

    def fail(self, step: str, fault: Fault, times: int = 1000000) -> None:
        """Disturb the next ``times`` requests of a step, after the faults that were planned before."""
        self._faults.setdefault(step, []).append(_Planned(fault, times))

    def answer(self, request: Recorded) -> Answer:
        """What the service does; the step of the given request is empty."""
        raise NotImplementedError

    def is_disturbed(self, step: str) -> bool:
        """True when the request at hand meets a fault; then it should change nothing."""
        return bool(self._faults.get(step))

    def _take(self, step: str) -> Optional[Fault]:
        planned = self._faults.get(step)
        if not planned:
            return None
        planned[0].times -= 1
        fault = planned[0].fault
        if planned[0].times == 0:
            planned.pop(0)
        return fault

    def __enter__(self: _Service) -> _Service:
        if self._context is not None:
            # The handshake happens on the connection's thread, so a client that stalls holds up nobody.
            self._server.socket = self._context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, service: Service) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up, and handshakes that fail


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        request = Recorded("", self.command, self.path, list(self.headers.items()), body)
        step, status, content = service.answer(request)
        service.requests.append(Recorded(step, request.method, request.path, request.headers, body))
        fault = service._take(step)
        if fault is not None:
            if fault.stall:
                service._ended.wait(30)
            if fault.stall or fault.close:
                self.close_connection = True
                return
            status = fault.status
            content = content if fault.body is None else fault.body
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault is not None and fault.cut:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = _serve


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


NOT_FOUND = ("unknown", 404, b"not found")


class InstanceMetadata(Service):
    """IMDS: steps ``token``, ``roles`` and ``role``.

    :param version: 1 knows no tokens, 2 wants one with each request
    :param clock: of the tokens' lifetimes, seconds
    """

    ROLES = "/latest/meta-data/iam/security-credentials/"

    def __init__(self, *, version: int = 2, role: str = "the-role", clock: Any = time.monotonic) -> None:
        super().__init__()
        self.version = version
        self.role = role
        self.document: Dict[str, Any] = {
            "Code": "Success",
            "AccessKeyId": KEY_ID,
            "SecretAccessKey": SECRET,
            "Token": TOKEN,
            "Expiration": EXPIRATION,
        }
        self.tokens: Dict[str, float] = {}  # until when each is good
        self._clock = clock

    def answer(self, request: Recorded) -> Answer:
        if request.path == "/latest/api/token":
            return self._token(request)
        known = request.path.startswith(self.ROLES)
        step = "roles" if request.path == self.ROLES else "role"
        if self.version == 2 and self.tokens.get(request.header("x-aws-ec2-metadata-token") or "", 0) < self._clock():
            return step, 401, b""
        if step == "roles":
            return step, 200, self.role.encode()
        return (step, 200, _json(self.document)) if known else NOT_FOUND

    def _token(self, request: Recorded) -> Answer:
        lifetime = request.header("x-aws-ec2-metadata-token-ttl-seconds")
        if self.version == 1:
            return "token", 404, b""
        if request.method != "PUT" or lifetime is None or not 1 <= int(lifetime) <= 21600:
            return "token", 400, b""
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = self._clock() + int(lifetime)
        return "token", 200, token.encode()


class ContainerEndpoint(Service):
    """The endpoint of ECS and EKS: the step ``credentials``. With ``token`` it wants that as Authorization."""

    def __init__(self, *, token: Optional[str] = None) -> None:
        super().__init__()
        self.token = token
        self.document: Dict[str, Any] = {
            "AccessKeyId": KEY_ID,
            "SecretAccessKey": SECRET,
            "Token": TOKEN,
            "Expiration": EXPIRATION,
        }

    def answer(self, request: Recorded) -> Answer:
        if self.token is not None and request.header("Authorization") != self.token:
            return "credentials", 401, b"wrong token"
        return "credentials", 200, _json(self.document)


class SecurityTokenService(Service):
    """STS: steps ``AssumeRole`` and ``AssumeRoleWithWebIdentity``."""

    def answer(self, request: Recorded) -> Answer:
        action = request.form.get("Action", "")
        if action not in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            return NOT_FOUND
        return action, 200, self.document(action)

    @staticmethod
    def document(action: str, **fields: str) -> bytes:
        """The answer to an action; empty fields are left out."""
        fields = {
            "AccessKeyId": KEY_ID,
            "SecretAccessKey": SECRET,
            "SessionToken": TOKEN,
            "Expiration": EXPIRATION,
            **fields,
        }
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items() if value)
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
            f"<Credentials>{inner}</Credentials></{action}Result></{action}Response>"
        ).encode()

    @staticmethod
    def error(code: str) -> bytes:
        """An error document."""
        return f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()


class SingleSignOn(Service):
    """IAM Identity Center: the portal (step ``credentials``) and SSO-OIDC (step ``refresh``)."""

    def __init__(self, *, token: str = "sso-token") -> None:
        super().__init__()
        self.token = token  #: the access token that is good
        self.refresh_token = "refresh-1"
        self.credentials: Dict[str, Any] = {
            "accessKeyId": KEY_ID,
            "secretAccessKey": SECRET,
            "sessionToken": TOKEN,
            "expiration": EXPIRATION_EPOCH * 1000,
        }

    def answer(self, request: Recorded) -> Answer:
        path = request.path.partition("?")[0]
        if path == "/federation/credentials":
            if request.header("x-amz-sso_bearer_token") != self.token:
                return "credentials", 401, _json({"message": "Session token not found or invalid"})
            return "credentials", 200, _json({"roleCredentials": self.credentials})
        if path == "/token":
            return self._refresh(json.loads(request.body))
        return NOT_FOUND

    def _refresh(self, asked: Dict[str, Any]) -> Answer:
        if asked.get("grantType") != "refresh_token" or asked.get("refreshToken") != self.refresh_token:
            return "refresh", 400, _json({"error": "invalid_grant"})
        if self.is_disturbed("refresh"):
            return "refresh", 500, b""
        self.token += "-refreshed"
        self.refresh_token += "-refreshed"
        answer = {"accessToken": self.token, "expiresIn": 3600, "refreshToken": self.refresh_token}
        return "refresh", 200, _json(answer)


class SignIn(Service):
    """AWS Sign-In, as ``aws login`` uses it: the step ``refresh``."""

    def __init__(self) -> None:
        super().__init__()
        self.refresh_token = "login-1"

    def answer(self, request: Recorded) -> Answer:
        if request.path != "/v1/token":
            return NOT_FOUND
        if json.loads(request.body).get("refreshToken") != self.refresh_token:
            return "refresh", 403, _json({"error": "TOKEN_EXPIRED"})
        if self.is_disturbed("refresh"):
            return "refresh", 500, b""
        self.refresh_token += "-next"
        keys = {"accessKeyId": KEY_ID, "secretAccessKey": SECRET, "sessionToken": TOKEN}
        answer = {"accessToken": keys, "expiresIn": 900, "refreshToken": self.refresh_token, "tokenType": "aws_sigv4"}
        return "refresh", 200, _json(answer)


class CognitoIdentity(Service):
    """Amazon Cognito: the step ``credentials``."""

    def __init__(self, *, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.document: Dict[str, Any] = {
            "IdentityId": "the-identity",
            "Credentials": {
                "AccessKeyId": KEY_ID,
                "SecretKey": SECRET,
                "SessionToken": TOKEN,
                "Expiration": EXPIRATION_EPOCH,
            },
        }

    def answer(self, request: Recorded) -> Answer:
        return "credentials", 200, _json(self.document)


class IotCredentials(Service):
    """The credentials provider of AWS IoT Core: the step ``credentials``; give it a context that wants certificates."""

    def __init__(self, *, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.document: Dict[str, Any] = {
            "credentials": {
                "accessKeyId": KEY_ID,
                "secretAccessKey": SECRET,
                "sessionToken": TOKEN,
                "expiration": EXPIRATION,
            }
        }

    def answer(self, request: Recorded) -> Answer:
        if not (request.path.startswith("/role-aliases/") and request.path.endswith("/credentials")):
            return NOT_FOUND
        return "credentials", 200, _json(self.document)
