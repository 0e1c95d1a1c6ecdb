# SPDX-License-Identifier: Apache-2.0
"""Clients of bench/service; prints JSON, milliseconds.

first ADDR:PORT RUNS COMMAND...  an HTTP request to a service that has no VM, until its first byte; before each, COMMAND ends with 0
ping ADDR RUNS COMMAND...    the same with an ICMP echo request, until its answer
functions PORT RATE SECONDS  so many connections a second, whether the ones before are answered or not: each sends a line and wants it back
serve PORT PROGRAM...        as inetd: a process for each connection, which is its standard input and output
"""
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

def quantile(times, q):
    return round(sorted(times)[min(len(times) - 1, int(q * len(times)))] * 1000, 2) if times else None

def come_to_rest(command):
    end = time.monotonic() + 60
    while subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        if time.monotonic() > end:
            sys.exit("the service does not come to rest")
        time.sleep(0.05)

def request(where):
    host, port = where.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if not s.recv(1):
            sys.exit("no answer")

def echo_sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff

def echo(where):
    number = random.randrange(65536)
    data = struct.pack("!BBHHH", 8, 0, 0, 38480, number) + b"lightvm " * 7
    data = data[:2] + struct.pack("!H", echo_sum(data)) + data[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
        s.settimeout(10)
        s.sendto(data, (where, 0))
        while True:
            answer = s.recv(2048)
            if answer[20] == 0 and answer[24:28] == data[4:8]:
                return

def first(ask, where, runs, command):
    times = []
    for _ in range(runs):
        come_to_rest(command)
        begun = time.monotonic()
        ask(where)
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

kind, where = sys.argv[1:3]
if kind == "serve":
    serve(int(where), sys.argv[3:])
elif kind == "functions":
    print(json.dumps(functions(int(where), int(sys.argv[3]), int(sys.argv[4]))))
else:
    print(json.dumps(first({"first": request, "ping": echo}[kind], where, int(sys.argv[3]), sys.argv[4:])))
