"""A program as users of core write it: what a strict type checker says of each line stands behind it.

``# R:`` the type that reveal_type() shows, ``# E:`` the codes of the errors. No other line may have any.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from typing_extensions import reveal_type

from awscrt import NativeResource, checksums, common, exceptions, io
from awscrt import logging as crt_logging

# ---- event loops, resolver, bootstrap ----

group = io.EventLoopGroup(num_threads=2)
stopped: threading.Event = group.shutdown_event
resource: NativeResource = group
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group, max_hosts=4))
reveal_type(bootstrap.shutdown_event.wait(0))  # R: builtins.bool
reveal_type(io.ClientBootstrap.get_or_create_static_default())  # R: awscrt.io.ClientBootstrap
io.EventLoopGroup("2")  # E: arg-type
io.ClientBootstrap(group)  # E: call-arg
io.DefaultHostResolver(bootstrap)  # E: arg-type
print(group.size_of_group)  # E: attr-defined

# ---- sockets and TLS ----

socket_options = io.SocketOptions()
socket_options.connect_timeout_ms = 3000
socket_options.connect_timeout_ms = "3 s"  # E: assignment
tls_options = io.TlsContextOptions.create_client_with_mtls_from_path("cert.pem", "key.pem")
checked: io.TlsContextOptions = tls_options
connection_options = io.ClientTlsContext(tls_options).new_connection_options()
connection_options.set_server_name("example.com")
connection_options.set_server_name(5)  # E: arg-type
reveal_type(io.TlsCipherPref.DEFAULT.is_supported())  # R: builtins.bool

# ---- errors ----

error = exceptions.from_code(1048)
reveal_type(error)  # R: builtins.Exception
if isinstance(error, exceptions.AwsCrtError):
    reveal_type(error.code)  # R: builtins.int
    reveal_type(error.name)  # R: builtins.str
exceptions.from_code("1048")  # E: arg-type
exceptions.AwsCrtError(1048)  # E: call-arg

# ---- logging ----

io.init_logging(io.LogLevel.Info, "stderr")
io.init_logging(io.LogLevel.Info)  # E: call-arg
io.init_logging("INFO", "stderr")  # E: arg-type
crt_logging.init_logging(logging.INFO)
crt_logging.reconfigure(logging.INFO, Path("log"))
crt_logging.reconfigure(logging.INFO, 2)  # E: arg-type
crt_logging.log(logging.ERROR, crt_logging.LogSubject.IO_DNS, "message")
crt_logging.log(logging.ERROR, crt_logging.LogSubject.IO_DNS, b"message")  # E: arg-type
reveal_type(crt_logging.flush())  # R: builtins.bool
reveal_type(crt_logging.dropped_messages())  # R: builtins.int

# ---- machine and checksums ----

reveal_type(common.join_all_native_threads(timeout_sec=1))  # R: builtins.bool
common.join_all_native_threads(1)  # E: misc
reveal_type(checksums.crc32c(b"data", 0))  # R: builtins.int
