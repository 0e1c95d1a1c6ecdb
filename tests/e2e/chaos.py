#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that make and delete VMs at random while lightvmd is killed: chaos.py LIGHTVMD LIGHTVM CLIENTS KILLS [BRIDGE].

Every process that comes of it becomes a child of this one in the end (a subreaper), so that what is left is seen. Prints what is wrong; status 0: nothing."""
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

LIGHTVMD, LIGHTVM, CLIENTS, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
BRIDGE = sys.argv[5] if len(sys.argv) > 5 else None
RUN, STATE = os.environ["LIGHTVM_RUN"], os.environ["LIGHTVM_STATE"]
BETWEEN = 0.9  # seconds, between two kills
wrong = []


class Gone(Exception):
    """The daemon went before it had answered: what was asked for may have been done, or not."""


def call(method, path, body=None, timeout=30):
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout)
            client.connect(RUN + "/api.sock")
            client.sendall(head.encode() + data)
            while piece := client.recv(65536):
                answer += piece
    except TimeoutError:
        wrong.append(f"{method} {path}: no answer in {timeout} s")
        raise Gone from None
    except OSError:
        raise Gone from None
    if b"\r\n\r\n" not in answer:
        raise Gone
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(rest) if rest else None


def start_daemon():
    daemon = subprocess.Popen([LIGHTVMD, "--log", "error"])
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if call("GET", "/v1/health", timeout=5)[0] == 200:
                return daemon
        except Gone:
            pass
        if daemon.poll() is not None:
            raise SystemExit(f"lightvmd ended with status {daemon.returncode}")
        select_nothing(0.01)
    raise SystemExit("lightvmd does not answer")


def select_nothing(seconds):
    threading.Event().wait(seconds)


class Client(threading.Thread):
    """One that knows, of each of its VMs, whether it has to be there: True, False, or None where an answer was lost."""

    def __init__(self, number, stop):
        super().__init__(daemon=True)
        self.number, self.stop, self.there, self.made, self.counts = number, stop, {}, 0, {}

    def run(self):
        dice = random.Random(self.number)
        while not self.stop.is_set():
            alive = [name for name, there in self.there.items() if there]
            try:
                if len(alive) < 2 or (len(alive) < 6 and dice.random() < 0.5):
                    self.create(dice)
                elif dice.random() < 0.2:
                    self.expect(dice.choice(alive), *call("POST", f"/v1/vms/{dice.choice(alive)}/{dice.choice(['pause', 'resume', 'restart'])}"))
                else:
                    self.delete(dice.choice(alive))
            except Gone:
                select_nothing(0.01)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def expect(self, name, status, body):
        self.count(f"other {status}")
        if status not in (200, 409, 404, 503, 504):
            wrong.append(f"{name}: status {status}: {body}")

    def create(self, dice):
        self.made += 1
        name = f"chaos{self.number}-{self.made}"
        nets = [{"kind": "none"}, {"kind": "passt"}]
        if BRIDGE:
            nets.append({"kind": "bridge", "name": BRIDGE})
        self.there[name] = None
        status, body = call("POST", "/v1/vms", {"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": name, "memory": 16 << 20, "net": dice.choice(nets)})
        self.count(f"create {status}")
        self.there[name] = status == 201
        if status not in (201, 503):
            wrong.append(f"create {name}: status {status}: {body}")

    def delete(self, name):
        self.there[name] = None
        status, body = call("DELETE", f"/v1/vms/{name}?force=true")
        self.count(f"delete {status}")
        self.there[name] = False if status in (204, 404) else None
        if status not in (204, 503):
            wrong.append(f"delete {name}: status {status}: {body}")


# ---- what there is


def descriptors(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
        except FileNotFoundError:
            pass  # closed since they were listed
    return sorted(found)


def resident(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4


def reap():
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def children():
    found = []
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.append((int(pid), open(f"/proc/{pid}/comm").read().strip()))
        except (OSError, ValueError):
            pass
    return found


def links():
    """The ports of our bridge: other taps are other tests'."""
    return sorted(os.listdir(f"/sys/class/net/{BRIDGE}/brif")) if BRIDGE else []


def empty_pools():
    """So that what is compared does not follow the demand."""
    subprocess.run([LIGHTVM, "pool", "set", "default", "--min", "0", "--max", "0"], check=True, stdout=subprocess.DEVNULL)


def entries(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def await_quiet(daemon):
    """Until nothing but the daemon is left; the processes that stay."""
    end = time.monotonic() + 20
    while True:
        reap()
        rest = [one for one in children() if one[0] != daemon.pid]
        if not rest or time.monotonic() > end:
            return rest
        select_nothing(0.05)


def more_descriptors(daemon, before):
    """Those that there are too many of; what has just ended has its time to be let go."""
    end = time.monotonic() + 10
    while True:
        more = descriptors(daemon.pid)
        for one in before:
            if one in more:
                more.remove(one)
        if not more or time.monotonic() > end:
            return more
        select_nothing(0.05)


def main():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    daemon = start_daemon()
    # Once: the image is packed, and what stays open is open.
    assert call("POST", "/v1/vms", {"image": "/usr/bin/sleep", "args": ["sleep", "1"], "name": "first", "net": {"kind": "none"}})[0] == 201
    assert call("DELETE", "/v1/vms/first?force=true")[0] == 204
    empty_pools()
    await_quiet(daemon)
    before = links(), descriptors(daemon.pid)
    stop = threading.Event()
    clients = [Client(i, stop) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        select_nothing(BETWEEN)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        daemon = start_daemon()
    select_nothing(BETWEEN)
    stop.set()
    for client in clients:
        client.join(60)
        if client.is_alive():
            wrong.append(f"client {client.number} hangs")
    counts = {}
    for client in clients:
        for what, n in client.counts.items():
            counts[what] = counts.get(what, 0) + n
    print("# " + ", ".join(f"{what}: {n}" for what, n in sorted(counts.items())), flush=True)
    check_and_clear(clients)
    empty_pools()
    rest = await_quiet(daemon)
    if rest:
        wrong.append(f"processes are left: {rest[:10]} ({len(rest)})")
    if links() != before[0]:
        wrong.append(f"network links: {before[0]}, then {links()}")
    if more := more_descriptors(daemon, before[1]):
        wrong.append(f"descriptors that were not there before: {more}")
    for directory in ("vms", "names"):
        if entries(f"{STATE}/{directory}"):
            wrong.append(f"{directory}/ has {entries(f'{STATE}/{directory}')[:10]}")
    print(f"# lightvmd holds {resident(daemon.pid)} KiB", flush=True)
    if resident(daemon.pid) > 32 << 10:
        wrong.append(f"lightvmd holds {resident(daemon.pid)} KiB")
    daemon.terminate()
    if daemon.wait(20):
        wrong.append(f"lightvmd ended with status {daemon.returncode}")
    if not counts.get("create 201") or not counts.get("delete 204"):
        wrong.append("nothing was made, or nothing deleted")


def check_and_clear(clients):
    """Operations that lost their daemon go on to their end: what they make is cleared when it is there."""
    end = time.monotonic() + 20
    first = True
    while True:
        vms = call("GET", "/v1/vms?all=true")[1]["vms"]
        names = {vm["name"] for vm in vms}
        for client in clients if first else ():
            for name, there in client.there.items():
                if there and name not in names:
                    wrong.append(f"{name} is lost")
                if there is False and name in names:
                    wrong.append(f"{name} was deleted, and is there")
        first = False
        for vm in vms:
            status, body = call("DELETE", f"/v1/vms/{vm['id']}?force=true")
            if status not in (204, 404) and time.monotonic() > end:
                wrong.append(f"{vm['name']} cannot be deleted: {body}")
        busy = [one for one in children() if one[1].startswith("lightvmd: task")]
        reap()
        if (not vms and not busy) or time.monotonic() > end:
            return
        select_nothing(0.1)


main()
for line in wrong[:40]:
    print(line)
sys.exit(bool(wrong))
