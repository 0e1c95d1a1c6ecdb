# SPDX-License-Identifier: Apache-2.0
"""redis_writer.py ADDRESS STOP CONNECTIONS: writes to the redis at ADDRESS until the file STOP is there, and holds it to every write that it acknowledged: counters
go up by one each time, keys have the value that was written last, a list has all that was pushed in its order."""
import os, random, selectors, socket, sys, time

address, stop, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(9)


def encode(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(lambda word: str(word).encode(), words))


class Client:
    """One command at a time: what it answers is known before the next one."""

    def __init__(self, number):
        self.number, self.rest = number, b""
        self.count, self.keys, self.pushed = 0, {}, 0
        self.socket = socket.create_connection((address, 6379), 20)
        self.socket.settimeout(20)

    def line(self):
        while b"\r\n" not in self.rest:
            self.more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def more(self):
        part = self.socket.recv(65536)
        assert part, "redis closed the connection"
        self.rest += part

    def bulk(self, line):
        size = int(line[1:])
        while len(self.rest) < size + 2:
            self.more()
        value, self.rest = self.rest[:size], self.rest[size + 2:]
        return value

    def answer(self):
        line = self.line()
        assert line[:1] != b"-", line
        if line[:1] == b"*":
            return [self.answer() for _ in range(int(line[1:]))]
        return self.bulk(line) if line[:1] == b"$" else int(line[1:]) if line[:1] == b":" else line[1:]

    def send(self):
        """The next command, and what its answer must be."""
        kind = random.randrange(4)
        if kind == 0:
            self.count += 1
            command, self.expected = encode("INCR", f"count:{self.number}"), self.count
        elif kind == 1:
            key, value = f"key:{self.number}:{random.randrange(200)}", os.urandom(random.randrange(1, 2000)).hex()
            self.keys[key] = value
            command, self.expected = encode("SET", key, value), b"OK"
        elif kind == 2 and self.keys:
            key = random.choice(list(self.keys))
            command, self.expected = encode("GET", key), self.keys[key].encode()
        else:
            self.pushed += 1
            command, self.expected = encode("RPUSH", f"list:{self.number}", self.pushed), self.pushed
        self.socket.sendall(command)

    def receive(self):
        got = self.answer()
        assert got == self.expected, f"client {self.number}: {got!r:.80} in place of {self.expected!r:.80}"

    def ask(self, *words):
        self.socket.sendall(encode(*words))
        return self.answer()

    def look(self):
        """All that was acknowledged is there, and nothing twice."""
        for key, value in self.keys.items():
            assert self.ask("GET", key) == value.encode(), f"{key} is another one"
        assert int(self.ask("GET", f"count:{self.number}") or 0) == self.count, "the count"
        assert list(map(int, self.ask("LRANGE", f"list:{self.number}", 0, -1))) == list(range(1, self.pushed + 1)), "the list"


selector = selectors.DefaultSelector()
clients = [Client(number) for number in range(width)]
for client in clients:
    selector.register(client.socket, selectors.EVENT_READ, client)
    client.send()
done, longest, last, waiting = 0, 0.0, time.monotonic(), width
while waiting:
    events = selector.select(20)
    assert events, f"no answer for 20 s after {done} commands"
    now = time.monotonic()
    longest, last = max(longest, now - last), now
    for key, _ in events:
        key.data.receive()
        done += 1
        if os.path.exists(stop):
            selector.unregister(key.fileobj)
            waiting -= 1
        else:
            key.data.send()
for client in clients:
    client.look()
print(f"{done} commands, the longest time without an answer was {longest * 1000:.0f} ms")
