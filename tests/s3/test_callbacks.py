"""Callbacks, cancelling, and what is left when a transfer is over."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, Callable, List

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.s3 import S3ResponseError

from .support import BUCKET, MIB, TIMEOUT, Store, content, eventually


class Refusal(Exception):
    pass


def refuse(*args: Any, **kwargs: Any) -> None:
    raise Refusal


@pytest.mark.parametrize("name", ["on_headers", "on_body"])
@pytest.mark.parametrize("size", [5, 4 * MIB])
def test_exception_in_a_callback_ends_the_transfer(store_with: Callable[..., Store], name: str, size: int) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(size))
    transfer = store.get("k", **{name: refuse}).wait()
    assert isinstance(transfer.error, Refusal)
    assert transfer.request.finished_future.exception() is transfer.error
    assert "done" in transfer.calls
    assert transfer.chunks == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_any_exception_counts(store: Store, kind: Any) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")

    def interrupt(**kwargs: Any) -> None:
        raise kind

    assert isinstance(store.get("k", on_body=interrupt).wait().error, kind)


def test_exception_in_on_headers_of_a_failure(store: Store) -> None:
    transfer = store.get("nothing", on_headers=refuse).wait()
    assert isinstance(transfer.error, Refusal)
    assert transfer.done["status_code"] == 404
    assert b"NoSuchKey" in transfer.done["error_body"]


def test_exception_in_on_body_of_an_upload_never_comes(store: Store) -> None:
    store.put("k", b"hello", on_body=refuse).result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_exceptions_that_change_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: List[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_value))
    store.endpoint.put_object(BUCKET, "k", b"hello")
    over = threading.Event()

    def on_done(**kwargs: Any) -> None:
        over.set()
        raise Refusal

    transfer = store.get("k", on_progress=refuse, on_done=on_done)
    assert transfer.request.finished_future.result(TIMEOUT) is None
    assert over.wait(TIMEOUT)
    assert transfer.body == b"hello"
    store.get("k").result()  # the events of the first are through
    assert [type(problem) for problem in unraisable] == [Refusal, Refusal]


def test_future_is_done_before_on_done(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    seen: List[bool] = []
    started = threading.Event()
    holder: List[Any] = []

    def on_done(**kwargs: Any) -> None:
        started.wait(TIMEOUT)
        seen.append(holder[0].request.finished_future.done())

    holder.append(store.get("k", on_done=on_done))
    started.set()
    holder[0].request.finished_future.result(TIMEOUT)
    store.get("k").result()
    assert seen == [True]


def test_file_is_complete_and_closed_when_done(store: Store, tmp_path: Path) -> None:
    store.endpoint.put_object(BUCKET, "k", content(1000))
    path = tmp_path / "out"
    sizes: List[int] = []

    def on_done(**kwargs: Any) -> None:
        sizes.append(path.stat().st_size)
        path.unlink()

    transfer = store.get("k", recv_filepath=str(path), on_done=on_done)
    transfer.request.finished_future.result(TIMEOUT)
    store.get("k").result()
    assert sizes == [1000]
    assert not path.exists()


# ---- cancel ----


def assert_canceled(error: Any) -> None:
    assert isinstance(error, AwsCrtError)
    assert (error.name, error.code) == ("AWS_ERROR_S3_CANCELED", 14347)


@pytest.mark.parametrize("fault", [{"stall": True}, {"stall_after": 100}])
def test_cancel_a_stalled_download(store: Store, fault: Any) -> None:
    store.endpoint.put_object(BUCKET, "k", content(1000))
    store.endpoint.fail_next(**fault)
    transfer = store.get("k")
    transfer.request.cancel()
    transfer.request.cancel()
    assert_canceled(transfer.wait().error)
    assert transfer.done["status_code"] is None
    assert transfer.progress == []


def test_cancel_an_upload_aborts_it(store: Store) -> None:
    store.endpoint.fail_next(operation="UploadPart", count=None, stall=True)
    transfer = store.put("k", content(30 * MIB))
    while store.endpoint.statistics().max_in_flight < 2:  # parts are being sent: the upload's id has arrived
        pass
    transfer.request.cancel()
    assert_canceled(transfer.wait().error)
    assert store.endpoint.open_uploads() == []


def test_cancel_during_a_pause_between_attempts(store_with: Callable[..., Store]) -> None:
    from awscrt.io import ExponentialBackoffJitterMode
    from awscrt.s3 import S3RetryConfig

    store = store_with(
        retry_config=S3RetryConfig(backoff_scale_factor_ms=20_000, jitter_mode=ExponentialBackoffJitterMode.NONE)
    )
    store.endpoint.fail_next(count=None, status=500)
    transfer = store.get("k")
    eventually(lambda: store.endpoint.requests())
    transfer.request.cancel()
    assert_canceled(transfer.wait().error)


@pytest.mark.parametrize("name", ["on_headers", "on_body", "on_progress"])
def test_cancel_from_a_callback(store_with: Callable[..., Store], name: str) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(4 * MIB))
    ready = threading.Event()
    holder: List[Any] = []
    called: List[str] = []

    def cancel(*args: Any, **kwargs: Any) -> None:
        called.append(name)
        ready.wait(TIMEOUT)
        holder[0].request.cancel()

    holder.append(store.get("k", **{name: cancel}))
    ready.set()
    assert_canceled(holder[0].wait().error)
    assert called == [name]  # and not again
    assert name != "on_headers" or holder[0].calls == ["done"]


def test_cancel_after_the_end_does_nothing(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfer = store.get("k").result()
    transfer.request.cancel()
    assert transfer.request.finished_future.result() is None
    assert transfer.calls.count("done") == 1


# ---- life ----


def test_dropped_request_goes_on(store: Store, tmp_path: Path) -> None:
    store.endpoint.put_object(BUCKET, "k", content(100_000))
    store.endpoint.fail_next(delay=0.1)
    transfer = store.get("k", recv_filepath=str(tmp_path / "out"))
    future, gone = transfer.request.finished_future, transfer.request.shutdown_event
    transfer.request = None
    gc.collect()
    assert future.result(TIMEOUT) is None
    assert (tmp_path / "out").stat().st_size == 100_000
    assert gone.wait(TIMEOUT)


def test_shutdown_event_waits_for_the_object(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfer = store.get("k").result()
    store.get("k").result()
    assert not transfer.request.shutdown_event.is_set()
    gone = transfer.request.shutdown_event
    transfer.request = None
    assert gone.wait(TIMEOUT)


def test_everything_is_released(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")

    class Listener:
        def __call__(self, **kwargs: Any) -> None:
            pass

    listener = Listener()
    transfer = store.get("k", on_headers=listener, on_body=listener, on_done=listener)
    transfer.request.finished_future.result(TIMEOUT)
    store.get("k").result()
    alive = weakref.ref(listener)
    del listener
    gc.collect()
    assert alive() is None  # though the request object is still there
    assert transfer.request.finished_future.done()


def test_response_error_describes_itself() -> None:
    error = S3ResponseError(
        code=14343, name="N", message="m", status_code=404, headers=[("a", "b")], body=b"x", operation_name="GetObject"
    )
    assert str(error) == "N: m"
    assert repr(error) == "S3ResponseError(name='N', message='m', code=14343)"
    assert (error.status_code, error.headers, error.body, error.operation_name) == (
        404,
        [("a", "b")],
        b"x",
        "GetObject",
    )
    assert S3ResponseError(code=1, name="N", message="m").body is None
