#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of lightvmd that do not behave: hostile_clients.py PID SOCKET LOCAL. While each does, somebody else is served. Says "ok" and "not ok" lines."""
import json
import os
import random
import resource
import socket
import struct
import sys
import time

PID, SOCKET, LOCAL = int(sys.argv[1]), sys.argv[2], sys.argv[3]
MEMORY = (64 << 10) * int(os.environ.get("LV_MEMORY_FACTOR", "1"))  # KiB that lightvmd may hold, whatever comes
FACTOR = int(os.environ.get("LV_TIME_FACTOR", "1"))
PATIENCE = 5 * FACTOR  # for an answer to somebody who behaves
REQUEST = 15  # HTTP_REQUEST_MS: for a client to send its request
MONITOR = 5  # CONTROL_PATIENCE_MS: for a monitor to answer
failures = 0


def result(name, why=None):
    global failures
    failures += why is not None
    print(f"ok {name}" if why is None else f"not ok {name} - {why}", flush=True)


def connect(kind=socket.SOCK_STREAM, path=SOCKET):
    """Waits while the backlog is full: with a time-out of Python's, EAGAIN would end the program."""
    client = socket.socket(socket.AF_UNIX, kind)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
    client.connect(path)
    client.settimeout(PATIENCE)
    return client


def finish(client):
    answer = b""
    try:
        while piece := client.recv(65536):
            answer += piece
    except (ConnectionResetError, BrokenPipeError):
        pass
    client.close()
    return answer


def ask(request, patience=PATIENCE):
    client = connect()
    client.settimeout(patience)
    try:
        client.sendall(request)
    except BrokenPipeError:
        pass
    return finish(client)


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n"


def health():
    return json.loads(ask(HEALTH).partition(b"\r\n\r\n")[2])


def others(name, memory=MEMORY):
    """Somebody who behaves is answered in time, and lightvmd holds no more than it may."""
    start = time.monotonic()
    try:
        answer = ask(HEALTH)
    except OSError as error:
        result(name, f"somebody else is not served: {error}")
        return
    took, held = time.monotonic() - start, int(open(f"/proc/{PID}/statm").read().split()[1]) * 4
    why = None if status(answer) == 200 else f"somebody else gets {answer[:100]!r}"
    if not why and took > PATIENCE:
        why = f"an answer takes {took:.1f} s"
    if not why and held > memory:
        why = f"lightvmd holds {held} KiB"
    result(name, why)


def await_health(name, key, most):
    end = time.monotonic() + 20 * FACTOR
    while (now := health())[key] > most:
        if time.monotonic() > end:
            result(name, f"{key}: {now[key]}")
            return
        time.sleep(0.05)
    result(name)


def many_connections():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(10000, limit - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    held = []
    for i in range(count):
        client = connect()
        if i % 3 == 0:
            try:
                client.sendall(b"GET /v1/health HTTP/1.1\r\n")
            except OSError:
                pass  # it was let go
        held.append(client)
        if i == count // 2:
            others(f"in the middle of {count} connections")
    others(f"{count} connections that say nothing")
    most = health()["connections"]
    result("of which no more stay than may", None if most <= 1100 else f"{most} stay")
    for client in held:
        client.close()
    await_health("and they leave nothing", "connections", 1)


def many_local():
    held = []
    for _ in range(1500):
        held.append(connect(socket.SOCK_SEQPACKET, LOCAL))
    others("1,500 connections to the local socket")
    for client in held:
        client.close()
    await_health("and they leave nothing", "connections", 1)


def local(message, fds=()):
    client = connect(socket.SOCK_SEQPACKET, LOCAL)
    socket.send_fds(client, [message], list(fds)) if fds else client.send(message)
    answer = client.recv(65536)
    client.close()
    return struct.unpack("=i", answer[:4])[0] if answer else None


def local_messages():
    magic = 0x646D766C
    head = lambda magic=magic, op=1, version=1, size=0, reserved=0: struct.pack("=IHHII", magic, op, version, size, reserved)
    for name, message, want in (("short", b"x", -74), ("of another kind", head(magic=1), -74), ("of a newer version", head(version=9), -93),
                                ("that says it is longer", head(size=9), -74), ("that is unknown", head(op=999), -95), ("with a mark", head(reserved=1), -74)):
        got = local(message)
        result(f"a message {name}", None if got == want else f"result {got}, not {want}")
    held = lambda: sum(os.readlink(f"/proc/{PID}/fd/{fd}") == "/dev/null" for fd in os.listdir(f"/proc/{PID}/fd") if os.path.lexists(f"/proc/{PID}/fd/{fd}"))
    before = held()
    null = os.open("/dev/null", os.O_RDONLY)
    result("a message with descriptors that nobody wants", None if local(head(), [null] * 30) == 0 else "no answer")
    end = time.monotonic() + PATIENCE
    while held() > before and time.monotonic() < end:
        time.sleep(0.05)  # a shell for the pool is being made, which takes one for a moment
    result("which are closed", None if held() <= before else "they are not")
    client = connect(socket.SOCK_SEQPACKET, LOCAL)
    client.setblocking(False)
    sent = 0
    try:
        while sent < 100000:  # asks, and reads nothing
            client.send(head())
            sent += 1
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    others(f"{sent} messages whose answers nobody reads")
    client.close()


def bodies():
    answer = ask(b"POST /v1/vms HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 65536)
    result("a body of 1 GiB is refused before it comes", None if status(answer) == 413 else repr(answer[:200]))
    client = connect()
    sent, piece = 0, b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        client.sendall(b"POST /v1/vms HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 1024:
            client.sendall(piece)
            sent += 1
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.close()
    result("one whose length nobody says is ended", None if sent < 16 else f"{sent} MiB were taken")
    others("and held by nobody")


def archives(vm):
    """Bodies of any length that are no archive, for a VM that there is not, and for one."""
    put = b"PUT /v1/vms/%s/archive?path=/tmp HTTP/1.1\r\nHost: l\r\nConnection: close\r\n"
    for name, want in (("nothere", 404), (vm, 400)):
        client = connect()
        client.settimeout(30 * FACTOR)
        client.sendall(put % name.encode() + b"Content-Length: %d\r\n\r\n" % (256 << 20))
        for _ in range(256):
            client.sendall(b"x" * (1 << 20))
        answer = finish(client)
        result(f"256 MiB of what is no archive: {want}", None if status(answer) == want else repr(answer[:200]))
    slow = []
    for _ in range(40):
        client = connect()
        client.sendall(put % vm.encode() + b"Content-Length: 1000000\r\n\r\nx")
        slow.append(client)
    others("40 archives that do not go on")
    for client in slow:
        client.close()
    await_health("when they go nothing stays", "connections", 1)
    for name, head in (("two lengths", b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), ("another type", b"Content-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n")):
        answer = ask(put % vm.encode() + head + b"xxxxx")
        result(f"an archive with {name} is refused before it comes", None if status(answer) in (400, 415) else repr(answer[:200]))


def garbage():
    dice = random.Random(1)
    for name, data in (("no HTTP", b"\x00" * 100 + b"\r\n\r\n"), ("noise", dice.randbytes(4000)), ("a line without end", b"GET /" + b"a" * 100000), ("headers without end",
                       b"GET /v1/health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20000))), ("a header of 64 KiB", b"GET / HTTP/1.1\r\nA: " + b"b" * 65536 + b"\r\n\r\n"),
                       ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n"), ("a length that is none", b"POST /v1/vms HTTP/1.1\r\nHost: l\r\nContent-Length: -5\r\n\r\n"),
                       ("two lengths", b"POST /v1/vms HTTP/1.1\r\nHost: l\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
                       ("a chunk that lies", b"POST /v1/vms HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"),
                       ("a zero byte in the path", b"GET /v1/vms/a%00b HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")):
        client = connect()
        client.settimeout(REQUEST + PATIENCE)  # libmicrohttpd does not see an end that comes together with the last bytes
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            answer = finish(client)
            why = None if not answer or 400 <= (status(answer) or 0) < 600 else repr(answer[:100])
        except TimeoutError:
            why = "no answer, and no end"
        result(f"{name}: an error, or the end", why)
    others("after all of that")


def two_readings():
    """Where a body's end can be read in two ways, nothing behind it may be served."""
    behind = b"GET /v1/version HTTP/1.1\r\nHost: l\r\n\r\n"
    post = b"POST /v1/pools HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n"
    for name, head in (("a length and an encoding", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), ("the other way round", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
                       ("two lengths that differ", b"Content-Length: 2\r\nContent-Length: 60\r\n"), ("two lengths", b"Content-Length: 5\r\nContent-Length: 5\r\n"),
                       ("two encodings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), ("an encoding in two words", b"Transfer-Encoding: gzip, chunked\r\n"),
                       ("an encoding that is none", b"Transfer-Encoding: xchunked\r\n"), ("a space before the colon", b"Transfer-Encoding : chunked\r\n"),
                       ("a length with a sign", b"Content-Length: +5\r\n"), ("lengths in one line", b"Content-Length: 5, 5\r\n"), ("two hosts", b"Host: m\r\nContent-Length: 5\r\n")):
        answer = ask(post + head + b"\r\n0\r\n\r\n" + behind, REQUEST)
        result(f"{name}: refused, and nothing behind it is served", None if status(answer) == 400 and b'"abi"' not in answer else repr(answer[:300]))
    answer = ask(b"GET /v1/version HTTP/1.1\r\nConnection: close\r\n\r\n")
    result("no host", None if status(answer) == 400 else repr(answer[:200]))
    answer = ask(behind * 49 + b"GET /v1/version HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
    result("50 requests at once are answered in order", None if answer.count(b"HTTP/1.1 200 ") == 50 else repr(answer[-200:]))
    for name, body in (("100,000 brackets", b"[" * 100000), ("a number of 400 digits", b"1" + b"0" * 400), ("a number with an exponent of 400", b"1e400"), ("half of a pair", b'"\\ud800"'),
                       ("a zero byte that is escaped", b'"a\\u0000b"'), ("a zero byte", b'"a\0b"'), ("bytes that are too long for what they say", b'"\xc0\xaf"'), ("no number", b"NaN")):
        data = b'{"name": ' + body + b"}"
        answer = ask(post + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        result(f"JSON with {name}", None if status(answer) == 400 else repr(answer[:200]))
    others("after all of that")


def a_byte_a_second():
    clients = [connect() for _ in range(20)]
    end = time.monotonic() + 25 * FACTOR
    request, at, ended = HEALTH + b"x" * 1000, 0, 0
    while clients and time.monotonic() < end:
        time.sleep(1)
        for client in list(clients):
            try:
                client.send(request[at % 60 : at % 60 + 1])
                client.setblocking(False)
                if client.recv(1) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                clients.remove(client)
                ended += 1
        at += 1
    result("who sends a byte a second is let go", None if not clients else f"{len(clients)} are still there after {25 * FACTOR} s")
    others("and others never noticed")


def never_read(vm):
    clients = []
    for _ in range(40):
        client = connect()
        client.sendall(b"GET /v1/vms/%s/logs?follow=true HTTP/1.1\r\nHost: l\r\n\r\n" % vm.encode())
        clients.append(client)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        time.sleep(0.1)
    others("40 who follow a log and do not read")
    for client in clients:
        client.close()
    await_health("when they go nothing stays", "connections", 1)


def stopped_monitor(vm, pid):
    os.kill(pid, 19)
    start = time.monotonic()
    answer = ask(b"GET /v1/vms/%s HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n" % vm.encode())
    result("a monitor that is stopped: what is known is told", None if status(answer) == 200 and time.monotonic() - start < 4 * PATIENCE else repr(answer[:200]))
    others("and others are served")
    answer = ask(b"POST /v1/vms/%s/pause HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n" % vm.encode(), MONITOR + PATIENCE)
    result("what it would have to do fails", None if status(answer) == 504 else repr(answer[:200]))
    client = connect()
    client.settimeout(30 * FACTOR)
    client.sendall(b"DELETE /v1/vms/%s?force=true HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n" % vm.encode())
    answer = finish(client)
    result("and it can be deleted", None if status(answer) == 204 else repr(answer[:200]))


def main():
    many_connections()
    many_local()
    local_messages()
    bodies()
    archives("chatty")
    garbage()
    two_readings()
    never_read("chatty")
    stopped_monitor("stopped", int(sys.argv[4]))
    a_byte_a_second()
    sys.exit(failures > 0)


main()
