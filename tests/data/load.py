# SPDX-License-Identifier: Apache-2.0
"""load.py [ADDRESS:]PORT PATH REQUESTS|STOP CONNECTIONS keep-alive|close FILE: makes the requests, or such until the file STOP is there, and compares every
answer's body with the file."""
import os, selectors, socket, sys, time

port, path, total, width, kind, file = sys.argv[1:]
host, _, port = port.rpartition(":")
address = (host or "127.0.0.1", int(port))
stop, total, width = (None, int(total), int(width)) if total.isdigit() else (total, sys.maxsize, int(width))
body = open(file, "rb").read()
request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {kind}\r\n\r\n".encode()
selector = selectors.DefaultSelector()
sent = good = 0
errors = {}


class Client:
    def __init__(self):
        self.sock, self.answer, self.pending = None, b"", b""

    def begin(self):
        """Sends the next request, on the same connection if it may be kept; False when there is none left."""
        global sent
        if sent == total or (stop and os.path.exists(stop)):
            self.close()
            return False
        sent += 1
        self.answer, self.pending = b"", request
        if self.sock is None:
            self.sock = socket.socket()
            self.sock.setblocking(False)
            self.sock.connect_ex(address)
            selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        else:
            selector.modify(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)
        return True

    def close(self):
        if self.sock is not None:
            selector.unregister(self.sock)
            self.sock.close()
            self.sock = None

    def failed(self, why):
        errors[why] = errors.get(why, 0) + 1
        self.close()
        return self.begin()

    def ready(self, events):
        global good
        try:
            if events & selectors.EVENT_WRITE and self.pending:
                self.pending = self.pending[self.sock.send(self.pending):]
                if not self.pending:
                    selector.modify(self.sock, selectors.EVENT_READ, self)
            if not events & selectors.EVENT_READ:
                return True
            part = self.sock.recv(65536)
        except BlockingIOError:
            return True
        except OSError as error:
            return self.failed(str(error))
        self.answer += part
        head, separator, got = self.answer.partition(b"\r\n\r\n")
        whole = separator and len(got) >= len(body)
        if not part and not whole:
            return self.failed(f"closed after {len(self.answer) and 'a part of the' or 'no'} answer")
        if whole and (kind == "keep-alive" or not part):
            if not head.startswith(b"HTTP/1.1 200") or got != body:
                return self.failed("wrong answer: " + head.split(b"\r\n")[0].decode())
            good += 1
            if kind == "close":
                self.close()
            return self.begin()
        return True


start = last = time.monotonic()
longest = 0.0
active = sum(Client().begin() for _ in range(min(width, total)))
while active:
    events = selector.select(20)
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    if not events:
        sys.exit(f"no answer for 20 s: {good} of {total} good, {active} connections wait")
    for key, mask in events:
        active -= not key.data.ready(mask)
seconds = time.monotonic() - start
print(f"{good} of {sent} good in {seconds:.2f} s, {good / seconds:.0f} a second; nothing came for at most {longest * 1000:.0f} ms; errors {errors}")
sys.exit(0 if good == sent and (stop or sent == total) and not errors else f"{sent - good} lost: {errors}")
