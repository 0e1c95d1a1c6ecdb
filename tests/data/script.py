# SPDX-License-Identifier: Apache-2.0
"""json, re, zlib, hashlib, threading, socket and what they stand on; prints only what is the same everywhere."""
import array, base64, collections, datetime, decimal, hashlib, itertools, json, math, os, queue, re, select, socket, struct, sys
import tempfile, threading, time, zlib

data = open(sys.argv[1], "rb").read()
text = data.decode()

people = json.load(open(sys.argv[2]))
print("json", len(people), len(json.dumps(people, sort_keys=True)), sum(p["age"] for p in people))
print("re", len(re.findall(r"\b(virtual|ring)\s+\w+", text)), re.sub(r"(\w+) (\w+)", r"\2 \1", text.splitlines()[0]))
packed = zlib.compress(data, 6)
print("zlib", zlib.decompress(packed) == data, zlib.crc32(data), zlib.adler32(data))
for name in ("md5", "sha1", "sha256", "sha3_256", "blake2b"):
    print(name, hashlib.new(name, data).hexdigest()[:32])
print("base64", base64.b64encode(data[:30]).decode(), struct.unpack("<IHB", data[:7]), array.array("d", [1.5, 2.5]).tobytes().hex())
print("count", collections.Counter(text.split()).most_common(3)[0][1] > 10, decimal.Decimal(2).sqrt(), math.gcd(2**61, 12**20))
print("date", datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone.utc).isoformat(), list(itertools.permutations("abc"))[4])

jobs, results = queue.Queue(), []
lock = threading.Lock()

def work():
    while (n := jobs.get()) is not None:
        value = sum(i * i for i in range(n))
        with lock:
            results.append(value)

threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads:
    t.start()
for n in range(400):
    jobs.put(n)
for t in threads:
    jobs.put(None)
for t in threads:
    t.join(30)
print("threads", len(results), sum(results))

event = threading.Event()
timer = threading.Timer(0.02, event.set)
timer.start()
print("event", event.wait(10))

server = socket.create_server(("127.0.0.1", 0))

def serve():
    for _ in range(20):
        connection, _ = server.accept()
        with connection:
            received = b""
            while part := connection.recv(65536):
                received += part
            connection.sendall(hashlib.sha256(received).digest())

server_thread = threading.Thread(target=serve)
server_thread.start()
good = 0
for i in range(20):
    with socket.create_connection(server.getsockname(), timeout=20) as s:
        message = data * (i % 3) + bytes([i])
        s.sendall(message)
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while part := s.recv(100):
            answer += part
        good += answer == hashlib.sha256(message).digest()
server_thread.join(30)
print("socket", good)

left, right = socket.socketpair()
left.send(b"pair")
print("select", select.select([right], [], [], 5)[0] == [right], right.recv(10))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
udp.sendto(b"datagram", udp.getsockname())
print("udp", udp.recv(100))

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "file")
    with open(path, "w") as f:
        f.writelines(f"{i}\n" for i in range(10000))
    os.rename(path, path + ".new")
    print("file", os.listdir(directory), os.path.getsize(path + ".new"), sum(map(int, open(path + ".new"))))
print("gone", os.path.exists(directory))
start = time.monotonic()
time.sleep(0.03)
print("sleep", time.monotonic() - start >= 0.03, time.time() > 1.6e9)
try:
    os.fork() if len(sys.argv) > 3 else None
except OSError as e:
    print("fork", e)
print("argv", sys.argv[0].rsplit("/", 1)[-1], sys.flags.optimize, file=sys.stderr)
sys.exit(3)
