# SPDX-License-Identifier: Apache-2.0
"""A small load for the services of cases/: load.py PORT. All of them answer the same four requests, and what came is said in an order that
does not depend on who was first."""
import concurrent.futures
import hashlib
import http.client
import sys

PORT = int(sys.argv[1])
BODY = bytes(range(256)) * 512


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/octet-stream"} if body else {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return f"{method} {path}: {answer.status} {answer.getheader('content-type')} {len(data)} {hashlib.sha256(data).hexdigest()[:12]}"


def keep_asking(count):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    seen = set()
    for _ in range(count):
        connection.request("GET", "/hello?name=load")
        answer = connection.getresponse()
        seen.add((answer.status, answer.read()))
    return seen


for line in (ask("GET", "/hello?name=you"), ask("GET", "/big"), ask("POST", "/echo", BODY), ask("GET", "/none")):
    print(line)
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print("kept alive:", sorted(set().union(*pool.map(keep_asking, [25] * 8))))
    print("at once:", sorted(set(pool.map(lambda _: ask("POST", "/echo", BODY), range(32)))))
