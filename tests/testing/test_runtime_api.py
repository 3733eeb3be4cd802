"""The Runtime API as a server, seen from a client that is not AWS's."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from asyncbatch.testing import ErrorReply, RuntimeApi

PREFIX = "/2018-06-01/runtime"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi(function_name="orders") as server:
        yield server


@pytest.fixture
def client(api: RuntimeApi) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(api.address, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: object = None
) -> http.client.HTTPResponse:
    client.request(method, PREFIX + path, None if body is None else json.dumps(body))
    return client.getresponse()


def test_an_event_and_its_reply(api: RuntimeApi, client: http.client.HTTPConnection) -> None:
    invocation = api.offer({"Records": []}, timeout=3.0)
    event = ask(client, "GET", "/invocation/next")
    assert (event.status, json.loads(event.read())) == (200, {"Records": []})
    assert event.headers["Content-Type"] == "application/json"
    assert event.headers["Lambda-Runtime-Aws-Request-Id"] == invocation.request_id
    assert event.headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(":function:orders")
    reply = ask(client, "POST", f"/invocation/{invocation.request_id}/response", {"a": 1})
    assert reply.status == 202
    reply.read()
    assert api.wait_for(lambda: invocation.ended is not None, 10.0)
    assert (invocation.payload, invocation.error, invocation.lost) == ({"a": 1}, None, False)
    again = ask(client, "POST", f"/invocation/{invocation.request_id}/response", {})
    assert again.status == 400


def test_an_error_reply(api: RuntimeApi, client: http.client.HTTPConnection) -> None:
    invocation = api.offer({}, timeout=3.0)
    ask(client, "GET", "/invocation/next").read()
    body = {"errorType": "KeyError", "errorMessage": "x", "stackTrace": ["frame"]}
    reply = ask(client, "POST", f"/invocation/{invocation.request_id}/error", body)
    assert reply.status == 202
    assert api.wait_for(lambda: invocation.ended is not None, 10.0)
    assert invocation.error == ErrorReply(type="KeyError", message="x", stack_trace=("frame",))


def test_a_request_for_an_event_is_held(api: RuntimeApi, client: http.client.HTTPConnection) -> None:
    got: list[bytes] = []
    asking = threading.Thread(target=lambda: got.append(ask(client, "GET", "/invocation/next").read()))
    asking.start()
    assert api.wait_for(lambda: api.waiting == 1, 10.0)
    assert got == []
    api.offer({"late": True}, timeout=3.0)
    asking.join(10.0)
    assert got == [b'{"late": true}']
    assert api.waiting == 0


def test_an_event_is_not_given_to_a_client_that_has_gone(
    api: RuntimeApi, client: http.client.HTTPConnection
) -> None:
    client.request("GET", PREFIX + "/invocation/next")
    assert api.wait_for(lambda: api.waiting == 1, 10.0)
    client.close()
    invocation = api.offer({"n": 1}, timeout=3.0)
    assert api.wait_for(lambda: api.waiting == 0, 10.0)
    assert invocation.delivered is None
    assert ask(client, "GET", "/invocation/next").read() == b'{"n": 1}'


def test_a_client_that_leaves_with_an_event_has_lost_it(
    api: RuntimeApi, client: http.client.HTTPConnection
) -> None:
    invocation = api.offer({}, timeout=3.0)
    ask(client, "GET", "/invocation/next").read()
    client.close()
    assert api.wait_for(lambda: invocation.ended is not None, 10.0)
    assert invocation.lost


def test_start_and_restore(api: RuntimeApi, client: http.client.HTTPConnection) -> None:
    body = {"errorType": "Runtime.ImportModuleError", "errorMessage": "no"}
    started = ask(client, "POST", "/init/error", body)
    assert (started.status, started.read()) == (202, b"{}")
    assert api.init_errors == [ErrorReply(type="Runtime.ImportModuleError", message="no")]
    assert ask(client, "GET", "/restore/next").status == 200
    assert api.restored == 1


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/nothing/here")])
def test_other_paths_are_unknown(client: http.client.HTTPConnection, method: str, path: str) -> None:
    assert ask(client, method, path).status == 404


def test_it_listens_on_this_machine_only(api: RuntimeApi) -> None:
    assert api.address.startswith("127.0.0.1:")


@pytest.mark.parametrize("sent", ["", '{"batchItemFailures": ['])
def test_a_reply_that_is_cut_off_is_none(
    api: RuntimeApi, client: http.client.HTTPConnection, sent: str
) -> None:
    invocation = api.offer({}, timeout=3.0)
    ask(client, "GET", "/invocation/next").read()
    path = f"{PREFIX}/invocation/{invocation.request_id}/response"
    with socket.create_connection((client.host, client.port)) as dying:
        dying.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{sent}".encode())
        dying.shutdown(socket.SHUT_WR)
        assert dying.recv(1) == b"", "the server hung up"
    assert (invocation.ended, invocation.payload) == (None, None)
