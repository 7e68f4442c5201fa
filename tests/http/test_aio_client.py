"""awscrt.aio.http.HttpClient: the same over asyncio; whatever is cancelled, nothing is left behind."""

import asyncio
import random
import threading

import pytest

from awscrt.aio.http import HttpClient
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpVersion
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing.client_server import Script


@pytest.fixture
def release():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def url(scripted_server, release):
    return f"http://127.0.0.1:{scripted_server(Script(release)).port}"


def run(coroutine_function):
    """Runs it on a new loop; whatever that loop reports is an error."""
    problems = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        return await asyncio.wait_for(coroutine_function(), 60)

    result = asyncio.run(main())
    assert problems == []
    return result


async def until(condition):
    while not condition():
        await asyncio.sleep(0.002)


def test_a_response(url):
    async def main():
        async with HttpClient(trust_env=False) as client:
            async with await client.request("GET", url + "/json") as response:
                assert response.status == 200 and response.version is HttpVersion.Http1_1
                assert await response.json() == {"a": [1, 2]}
            assert await (await client.request("GET", url + "/latin")).text() == "é"
            response = await client.request("GET", url + "/gzip", decode=True)
            assert len(await response.read()) == 100001
            response = await client.request("GET", url + "/to/302/!json", redirects=1)
            assert response.status == 200 and response.url == url + "/json"
            assert client.stats.requests == 5

    run(main)


def test_a_large_body_is_streamed(url):
    async def main():
        async with HttpClient(trust_env=False) as client:
            total = 0
            async for piece in await client.request("GET", url + "/large"):
                total += len(piece)
                await asyncio.sleep(0)
            assert total == 5_000_000

    run(main)


def test_bodies_from_asynchronous_iterators(url):
    closed = []

    async def pieces(count):
        try:
            for i in range(count):
                await asyncio.sleep(0)
                yield b"%d," % i
            yield b""
        finally:
            closed.append(count)

    async def main():
        async with HttpClient(trust_env=False) as client:
            response = await client.request("POST", url + "/echo", body=pieces(300))
            assert await response.read() == b"".join(b"%d," % i for i in range(300))
            response = await client.request("PUT", url + "/echo", body=pieces(0))
            assert await response.read() == b""
            response = await client.request("PUT", url + "/echo", body=[b"a", b"b"])
            assert await response.read() == b"ab"
        assert closed == [300, 0]

    run(main)


def test_an_iterator_that_raises_is_the_callers_error(url):
    async def pieces():
        yield b"one"
        raise LookupError("no more")

    async def main():
        async with HttpClient(trust_env=False) as client:
            with pytest.raises(LookupError, match="no more"):
                await client.request("POST", url + "/echo", body=pieces())
            await until(lambda: client.stats.connections == 0)

    run(main)


def test_limits(url):
    async def main():
        async with HttpClient(trust_env=False, max_connections_per_origin=3) as client:
            responses = await asyncio.gather(*[client.request("GET", url) for _ in range(60)])
            bodies = {await response.read() for response in responses}
            assert bodies <= {b"connection 0", b"connection 1", b"connection 2"}
            assert client.stats.opened <= 3

    run(main)


def test_idle_connections_go_and_stale_ones_do_not_matter(url):
    async def main():
        async with HttpClient(trust_env=False, idle_timeout=0.03) as client:
            await (await client.request("GET", url + "/stale")).read()
            assert await (await client.request("GET", url)).read() == b"connection 1"
            await until(lambda: client.stats.connections == 0)

    run(main)


def test_cancellation_reaches_the_socket(url):
    async def main():
        async with HttpClient(trust_env=False) as client:
            task = asyncio.ensure_future(client.request("GET", url + "/hold"))
            await until(lambda: client.stats.active == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: client.stats.connections == 0)

    run(main)


def test_failures(url):
    async def main():
        async with HttpClient(trust_env=False) as client:
            with pytest.raises(AwsCrtError) as late:
                await client.request("GET", url + "/hold", timeout=0.05)
            assert late.value.name == "AWS_IO_SOCKET_TIMEOUT"
            with pytest.raises(AwsCrtError):
                await (await client.request("GET", url + "/cut")).read()
            with pytest.raises(ValueError):
                await client.request("GET", "nowhere")
            task = asyncio.ensure_future(client.request("GET", url + "/hold"))
            await until(lambda: client.stats.active == 1)
        with pytest.raises(AwsCrtError):
            await task
        with pytest.raises(RuntimeError, match="closed"):
            await client.request("GET", url)

    run(main)


def test_http2_shares_one_connection(nginx, tls_certs):
    nginx.add_file("aio-pool.txt", b"over TLS")
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)

    async def main():
        target = f"https://localhost:{nginx.tls_port}/aio-pool.txt"
        async with HttpClient(tls=ClientTlsContext(options), trust_env=False) as client:
            responses = await asyncio.gather(*[client.request("GET", target) for _ in range(50)])
            assert {response.version for response in responses} == {HttpVersion.Http2}
            assert {await response.read() for response in responses} == {b"over TLS"}
            assert client.stats.opened == 1

    run(main)


def test_a_loop_that_is_left_with_requests_under_way(url):
    client = HttpClient(trust_env=False)

    async def main():
        task = asyncio.ensure_future(client.request("GET", url + "/hold"))
        await until(lambda: client.stats.active == 1)
        return task

    run(main)

    async def close():
        await client.close()

    run(close)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_cancellation(no_native_leak, url, release, seed):
    """1,000 tasks, each cancelled at some moment of its life, or left to finish."""
    release.set()
    chance = random.Random(seed)
    outcomes = {"done": 0, "cancelled": 0}

    async def pieces():
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"piece"

    async def one(client):
        kind = chance.randrange(5)
        if kind == 0:
            response = await client.request("POST", url + "/echo", body=pieces())
            assert await response.read() == b"piece" * 3
        elif kind == 1:
            async for _ in await client.request("GET", url + "/gzip", decode=True):
                pass
        elif kind == 2:
            async with await client.request("GET", url + "/hold"):
                pass
        else:
            assert (await (await client.request("GET", url)).read()).startswith(b"connection")

    async def main():
        async with HttpClient(trust_env=False, max_connections_per_origin=20) as client:
            tasks = []
            for _ in range(1000):
                tasks.append(asyncio.ensure_future(one(client)))
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                under_way = [task for task in tasks[-50:] if not task.done()]
                if under_way and chance.random() < 0.5:
                    chance.choice(under_way).cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result is None or isinstance(result, asyncio.CancelledError), result
                outcomes["done" if result is None else "cancelled"] += 1
            await until(lambda: client.stats.active == 0 and client.stats.waiting == 0)

    run(main)
    assert outcomes["done"] > 50 and outcomes["cancelled"] > 50
