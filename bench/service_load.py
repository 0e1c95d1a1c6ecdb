# SPDX-License-Identifier: Apache-2.0
"""Clients of bench/service; prints JSON, milliseconds.

first PORT RUNS COMMAND...   an HTTP request to a service that has no VM, until its first byte; before each, COMMAND ends with 0
functions PORT RATE SECONDS  so many connections a second, whether the ones before are answered or not: each sends a line and wants it back
serve PORT PROGRAM...        as inetd: a process for each connection, which is its standard input and output
"""
import json
import os
import socket
import subprocess
import sys
import threading
import time

def quantile(times, q):
    return round(sorted(times)[min(len(times) - 1, int(q * len(times)))] * 1000, 2) if times else None

def first(port, runs, command):
    times = []
    for _ in range(runs):
        end = time.monotonic() + 60
        while subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            if time.monotonic() > end:
                sys.exit("the service does not come to rest")
            time.sleep(0.05)
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if not s.recv(1):
                sys.exit("no answer")
            times.append(time.monotonic() - begun)
    return {"median": quantile(times, 0.5), "worst": quantile(times, 1)}

def call(port, at, results):
    time.sleep(max(0, at - time.monotonic()))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(b"one line\n")
            s.shutdown(socket.SHUT_WR)
            said = b""
            while piece := s.recv(4096):
                said += piece
        results.append(time.monotonic() - at if said == b"one line\n" else None)
    except OSError:
        results.append(None)

def functions(port, rate, seconds):
    results, threads, begun = [], [], time.monotonic() + 0.2
    for i in range(rate * seconds):
        at = begun + i / rate
        time.sleep(max(0, at - 0.05 - time.monotonic()))
        threads.append(threading.Thread(target=call, args=(port, at, results)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    good = [t for t in results if t is not None]
    return {"failed": rate * seconds - len(good), "median": quantile(good, 0.5), "p99": quantile(good, 0.99)}

def serve(port, program):
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    while True:
        s, _ = listener.accept()
        os.posix_spawn(program[0], program, {}, file_actions=[(os.POSIX_SPAWN_DUP2, s.fileno(), 0), (os.POSIX_SPAWN_DUP2, s.fileno(), 1)])
        s.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

kind, port = sys.argv[1], int(sys.argv[2])
if kind == "serve":
    serve(port, sys.argv[3:])
elif kind == "first":
    print(json.dumps(first(port, int(sys.argv[3]), sys.argv[4:])))
else:
    print(json.dumps(functions(port, int(sys.argv[3]), int(sys.argv[4]))))
