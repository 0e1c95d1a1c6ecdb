#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives lightvmd by docs/openapi.json: openapi.py FILE LIGHTVMD SOCKET.

Compares the file's operations with the program's, calls each of them with right and with wrong input, and checks every answer against the
file: its status has to be one that is named there, its body has to fit the schema. An operation that a new line of the file
names is called, too. Says "ok NAME" and "not ok NAME - WHY"."""
import json
import re
import socket
import subprocess
import sys

FILE, LIGHTVMD, SOCKET = sys.argv[1:4]
API = json.load(open(FILE, encoding="utf-8"))
failures = 0
METHODS = ("get", "put", "post", "delete", "patch", "options", "head", "trace")


def result(name, why=None):
    global failures
    failures += why is not None
    print(f"ok {name}" if why is None else f"not ok {name} - {why}", flush=True)


# ---- HTTP, as much of it as is needed


def call(method, path, body=None, headers=(), timeout=60):
    """(status, type, body)"""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if body is not None:
        lines += [f"Content-Length: {len(data)}"]
        if not any(line.lower().startswith("content-type") for line in lines):
            lines += ["Content-Type: application/json"]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(SOCKET)
        answer = b""
        try:
            client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        except BrokenPipeError:
            pass  # it was refused before all was sent
        try:
            while piece := client.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass  # the end of one that did not read all
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    fields = dict(line.decode().lower().split(": ", 1) for line in head.split(b"\r\n")[1:])
    if fields.get("transfer-encoding") == "chunked":
        rest = unchunk(rest)
    return status, fields.get("content-type", ""), rest


def unchunk(data):
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        whole += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return whole


# ---- schemas, as much of them as the file uses

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = set("$ref description type enum const anyOf properties required additionalProperties items minItems maxItems minimum maximum pattern minLength".split())


def resolve(node):
    while "$ref" in node:
        at = API
        for key in node["$ref"][2:].split("/"):
            at = at[key]
        node = at
    return node


def is_type(value, name):
    if isinstance(name, list):
        return any(is_type(value, one) for one in name)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def misfit(value, schema, at="answer"):
    """What does not fit, or None."""
    schema = resolve(schema)
    if set(schema) - KNOWN:
        return f"{at}: this driver does not know {set(schema) - KNOWN}"
    if "anyOf" in schema:
        found = [misfit(value, one, at) for one in schema["anyOf"]]
        return None if None in found else found[0]
    if "type" in schema and not is_type(value, schema["type"]):
        return f"{at}: {json.dumps(value)[:60]} is no {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        return f"{at}: {value!r} is not {schema['const']!r}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{at}: {value!r} does not match {schema['pattern']}"
        if len(value) < schema.get("minLength", 0):
            return f"{at}: is empty"
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{at}: {value} is out of range"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{at}: has {len(value)} items"
        return next((why for i, one in enumerate(value) if (why := misfit(one, schema.get("items", {}), f"{at}[{i}]"))), None)
    if isinstance(value, dict):
        return misfit_object(value, schema, at)
    return None


def misfit_object(value, schema, at):
    properties = schema.get("properties", {})
    for key in schema.get("required", []):
        if key not in value:
            return f"{at}: has no {key}"
    for key, one in value.items():
        if key in properties:
            if why := misfit(one, properties[key], f"{at}.{key}"):
                return why
        elif schema.get("additionalProperties", True) is False:
            return f"{at}: {key} is not in the file"
    return None


# ---- operations


class Operation:
    def __init__(self, path, method, item, node):
        self.path, self.method, self.node = path, method.upper(), node
        self.id = node["operationId"]
        parameters = [resolve(one) for one in item.get("parameters", []) + node.get("parameters", [])]
        self.in_path = [one["name"] for one in parameters if one["in"] == "path"]
        self.query = {one["name"]: one for one in parameters if one["in"] == "query"}
        contents = node.get("requestBody", {}).get("content", {})
        self.tar = "application/x-tar" in contents
        content = contents.get("application/json")
        self.body = None if content is None else resolve(content["schema"])
        self.required = node.get("requestBody", {}).get("required", False)
        self.example = (content or {}).get("example")

    def address(self, what="example"):
        return re.sub(r"\{.*?\}", what, self.path)

    def judge(self, answer):
        """What of an answer is not as the file says, or None."""
        status, kind, body = answer
        if str(status) not in self.node["responses"]:
            return f"status {status} is not in the file: {body[:200]!r}"
        contents = resolve(self.node["responses"][str(status)]).get("content", {})
        if not contents:
            return f"a body, where the file has none: {body[:80]!r}" if body and status != 101 else None
        kind = kind.split(";")[0]
        if kind not in contents:
            return f"Content-Type {kind!r} is not in the file"
        if kind != "application/json":
            return None
        try:
            return misfit(json.loads(body), contents[kind]["schema"])
        except ValueError as error:
            return f"no JSON: {error}: {body[:200]!r}"


OPERATIONS = {}
for path_, item_ in API["paths"].items():
    for method_ in METHODS:
        if method_ in item_:
            one_ = Operation(path_, method_, item_, item_[method_])
            OPERATIONS[one_.id] = one_


def try_it(name, operation, want, address=None, body=None, headers=(), method=None):
    """Calls it, and holds status (one, or several) and answer against the file. The answer."""
    answer = call(method or operation.method, address or operation.address(), body, headers)
    wanted = want if isinstance(want, tuple) else (want,)
    why = operation.judge(answer)
    if wanted != (None,) and answer[0] not in wanted:
        why = f"status {answer[0]}, not {want}: {answer[2][:200]!r}"
    result(f"{operation.id}: {name}", why)
    return answer


def compare_operations():
    lines = subprocess.run([LIGHTVMD, "--operations"], capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = {}
    for line in lines:
        method, path, name, body, *query = line.split()
        theirs[name] = (method, path, body, sorted(query))
    ours = {}
    for name, one in OPERATIONS.items():
        body = "tar" if one.tar else "none" if one.body is None else "json" if one.required else "optional"
        ours[name] = (one.method, one.path, body, sorted(one.query))
    different = [f"{name}: file {ours.get(name)}, program {theirs.get(name)}" for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    result("the file names the operations that the program has", "; ".join(different) or None)


# ---- wrong input


def wrong_values(schema):
    """Values that the schema does not allow, as (what, value)."""
    schema = resolve(schema)
    if "anyOf" in schema:
        schema = resolve(next(one for one in schema["anyOf"] if resolve(one).get("type") != "null"))
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    others = {"string": 7, "integer": "7", "boolean": "true", "array": {}, "object": []}
    if kind in others:
        yield f"{json.dumps(others[kind])} for {kind}", others[kind]
    if kind == "integer" and "minimum" in schema:
        yield "less than the least", schema["minimum"] - 1
    if kind == "integer" and "maximum" in schema:
        yield "more than the most", schema["maximum"] + 1
    if kind == "string" and "pattern" in schema:
        yield "a text that it cannot be", "=../x"
    if kind == "array" and "maxItems" in schema:
        yield "too many", [f"a{i}=b" for i in range(schema["maxItems"] + 1)]
    if kind == "array":
        yield "numbers in a list", [7]
    if "const" in schema:
        yield "another one", 1000


def wrong_bodies(operation):
    right = dict(operation.example or {})
    yield "no JSON", b'{"a":'
    yield "JSON twice", b"{} {}"
    yield "a list", []
    yield "a key twice", b'{"a": 1, "a": 1}'
    yield "bytes that are no UTF-8", b'{"a": "\xff"}'
    yield "10,000 brackets", b'{"a": ' + b"[" * 10000
    yield "an unknown key", {**right, "no_such_key": 1}
    for key in operation.body.get("required", []):
        yield f"without {key}", {name: value for name, value in right.items() if name != key}
    for key, schema in operation.body.get("properties", {}).items():
        for what, value in wrong_values(schema):
            yield f"{key}: {what}", {**right, key: value}


def try_wrong(operation):
    address = operation.address()
    try_it("an unknown query", operation, 400, address + "?no_such_key=1")
    for key, parameter in operation.query.items():
        if resolve(parameter["schema"]).get("type") == "integer" or "enum" in resolve(parameter["schema"]):
            try_it(f"query {key} is wrong", operation, 400, f"{address}?{key}=many")
            try_it(f"query {key} twice", operation, 400, f"{address}?{key}=1&{key}=1")
    if operation.in_path:
        body = operation.example if operation.required else None
        for name in ("no-such-thing", "%2e%2e", "a" * 300, "%ff%fe", "000000000000"):
            try_it(f"there is no {name[:20]}", operation, 404, operation.address(name), body)
    if operation.tar:
        try_it("another type", operation, 415, body={})
        return
    if operation.body is None:
        try_it("a body", operation, 400, body={})
        return
    if operation.required:
        try_it("no body", operation, 400)
    try_it("another type", operation, 415, body={}, headers=("Content-Type: text/plain",))
    try_it("a long one", operation, 413, body=b" " * (2 << 20))
    for name, body in wrong_bodies(operation):
        try_it(name, operation, 400, body=body)


def try_methods():
    for path, item in API["paths"].items():
        missing = next(method for method in ("put", "patch", "delete", "get") if method not in item)
        operation = OPERATIONS[next(item[method] for method in METHODS if method in item)["operationId"]]
        status, _, body = call(missing.upper(), operation.address())
        why = None if status == 405 else f"status {status}"
        result(f"{missing.upper()} {path}", why or misfit(json.loads(body), API["components"]["schemas"]["Error"]))


# ---- right input


def live():
    """The life of a VM: each line an operation and the status that it has to have there."""
    one = OPERATIONS
    subject = json.loads(try_it("a VM", one["createVm"], 201, body=one["createVm"].example)[2])
    name = "example"
    for operation, status in (("listVms", 200), ("getVm", 200), ("getVmLedger", 200), ("getVmStats", 200), ("pauseVm", 200), ("pauseVm", 409),
                              ("resumeVm", 200), ("resumeVm", 409), ("startVm", 409), ("deleteVm", 409), ("attachVm", 426), ("getVmLogs", 200)):
        try_it(f"answers {status}", one[operation], status)
    answer = json.loads(try_it("its own program again", one["execInVm"], 200, body={"args": ["sleep", "0"]})[2])
    result("execInVm: its status", None if answer.get("exit_status") == 0 else repr(answer))
    answer = json.loads(try_it("a program that its image lacks", one["execInVm"], 200, body=one["execInVm"].example)[2])
    result("execInVm: as a shell says it", None if answer.get("exit_status") == 127 else repr(answer))
    tar = ("Content-Type: application/x-tar",)
    archive = try_it("of a directory", one["getVmArchive"], 200, one["getVmArchive"].address() + "?path=/tmp")[2]
    try_it("of a directory", one["putVmArchive"], 200, one["putVmArchive"].address() + "?path=/tmp/again", body=archive, headers=tar)
    try_it("what is none", one["putVmArchive"], 400, one["putVmArchive"].address() + "?path=/tmp", body=b"x" * 4096, headers=tar)
    for operation in ("getVmArchive", "putVmArchive"):
        try_it("no path", one[operation], 400)
        try_it("a relative path", one[operation], 400, one[operation].address() + "?path=tmp")
    try_it("its threads", one["topVm"], 200)
    try_it("a limit", one["updateVm"], 200, body={"memory": 64 << 20})
    try_it("more than it was made with", one["updateVm"], 400, body={"memory": 64 << 30})
    try_it("none", one["updateVm"], 400, body={})
    try_it("in time", one["waitVm"], 504, one["waitVm"].address() + "?seconds=1")
    try_it("in time", one["waitVmListens"], 504, one["waitVmListens"].address() + "?seconds=1")
    try_it("a pool", one["addPool"], 201, body=one["addPool"].example)  # wrong bounds are of one that is there
    for wrong in OPERATIONS.values():
        if wrong.id not in ("renameVm",):
            try_wrong(wrong)
    try_wrong(one["renameVm"])
    for operation, status in (("restartVm", 200), ("renameVm", 200)):
        try_it("works", one[operation], status, body=one[operation].example)
    name = one["renameVm"].example["name"]
    for operation, status in (("stopVm", 200), ("waitVm", 200), ("waitVmListens", 409), ("killVm", 409), ("pauseVm", 409), ("getVmStats", 409), ("startVm", 200),
                              ("killVm", 200), ("getVmLogs", 200), ("getVm", 200), ("getVmLedger", 200)):
        try_it(f"answers {status}", one[operation], status, one[operation].address(name), body=one[operation].example)
    try_it("by its id", one["getVm"], 200, one["getVm"].address(subject["id"]))
    try_it("all", one["listVms"], 200, one["listVms"].address() + "?all=true")
    try_it("works", one["deleteVm"], 204, one["deleteVm"].address(name))
    prune()
    return {"getVmArchive", "putVmArchive", "topVm", "updateVm", "pruneVms", "createVm", "listVms", "getVm", "getVmLedger", "getVmStats", "pauseVm", "resumeVm", "startVm", "deleteVm", "attachVm", "getVmLogs", "execInVm",
            "waitVm", "waitVmListens", "restartVm", "renameVm", "stopVm", "killVm"}


def prune():
    """Two that do not run: one is removed by its label, the other with all."""
    one = OPERATIONS
    ids = [json.loads(try_it("one to prune", one["createVm"], 201, one["createVm"].address() + "?start=false",
                             body={**one["createVm"].example, "name": name, "labels": [f"job={name}"]})[2])["id"] for name in ("first", "second")]
    labelled = {"filter": ["label=job=first"]}
    for what, body, want in (("tells", {"dry": True}, sorted(ids)), ("tells by a label", {**labelled, "dry": True}, ids[:1]), ("by a label", labelled, ids[:1]),
                             ("all", None, ids[1:]), ("nothing is left", {"dry": True}, [])):
        said = json.loads(try_it(what, one["pruneVms"], 200, body=body)[2])
        result(f"pruneVms: {what}: which", None if sorted(said["vms"]) == want else str(said))
    try_it("no filter that there is", one["pruneVms"], 400, body={"filter": ["colour=red"]})


def store():
    one = OPERATIONS
    image = json.loads(try_it("works", one["packImage"], 201, body=one["packImage"].example)[2])
    try_it("works", one["listImages"], 200)
    try_it("works", one["getImage"], 200, one["getImage"].address(image["sha256"][:16]))
    try_it("works", one["deleteImage"], 204, one["deleteImage"].address(image["sha256"]))
    try_it("is gone", one["getImage"], 404, one["getImage"].address(image["sha256"]))
    kernels = json.loads(try_it("works", one["listKernels"], 200)[2])["kernels"]
    for kernel in kernels[:1]:
        try_it("works", one["getKernel"], 200, one["getKernel"].address(kernel["name"]))
    try_it("of none", one["deleteKernel"], 404, one["deleteKernel"].address("no-such-kernel"))
    return {"packImage", "listImages", "getImage", "deleteImage", "listKernels", "getKernel", "deleteKernel"}


def services():
    """What is wrong with a service's VM is told when it is added, as far as it can be seen there."""
    one = OPERATIONS["addService"]
    wish = OPERATIONS["createVm"].body
    for key, schema in wish.get("properties", {}).items():
        for what, value in wrong_values(schema):
            try_it(f"vm.{key}: {what}", one, 400, body={**one.example, "vm": {**one.example["vm"], key: value}})


def pools():
    """The daemon's own, and "example", which live() has made."""
    one = OPERATIONS
    pool = json.loads(try_it("works", one["getPool"], 200)[2])
    result("getPool: it is what was asked for", None if one["addPool"].example.items() <= pool.items() else str(pool))
    try_it("twice", one["addPool"], 409, body=one["addPool"].example)
    try_it("bounds that cross", one["addPool"], 400, body={"name": "crossed", "least": 9, "most": 2})
    try_it("none", one["getPool"], 404, one["getPool"].address("crossed"))
    changed = json.loads(try_it("works", one["setPool"], 200, body=one["setPool"].example)[2])
    result("setPool: the bounds are what was asked for, the rest what it was",
           None if (changed["least"], changed["most"], changed["memory"]) == (0, 2, pool["memory"]) else str(changed))
    try_it("one bound alone, which crosses the other", one["setPool"], 400, body={"least": 3})
    try_it("what is fixed", one["setPool"], 400, body={"memory": 1 << 30})
    for i in range(30):
        if call("POST", "/v1/pools", {"name": f"more{i}", "most": 0, "least": 0})[0] != 201:
            break
    try_it("too many", one["addPool"], 409, body={"name": "another", "least": 0, "most": 0})
    names = [row["name"] for row in json.loads(try_it("works", one["listPools"], 200)[2])["pools"]]
    result("listPools: has all of them, and their number is bounded", None if {"default", "example", "more0"} <= set(names) and len(names) <= 16 else str(names))
    for name in ["example"] + [name for name in names if name.startswith("more")]:
        try_it("works", one["removePool"], 204, one["removePool"].address(name))
    try_it("is gone", one["getPool"], 404)
    return {"addPool", "getPool", "setPool", "listPools", "removePool"}


def saves():
    one = OPERATIONS
    body = {**one["createVm"].example, "name": "kept"}
    subject = json.loads(try_it("a VM to save", one["createVm"], 201, body=body)[2])
    name = lambda operation, what="kept": one[operation].address(what)
    saved = json.loads(try_it("and it goes on", one["saveVm"], 200, name("saveVm"), body={"leave_running": True})[2])
    result("saveVm: says what was saved", None if saved["id"] == subject["id"] and saved["path"].endswith("/kept") else str(saved))
    try_it("runs", one["restoreVm"], 409, name("restoreVm"))
    try_it("a directory that cannot be", one["saveVm"], 400, name("saveVm"), body={"directory": "/no/such/place"})
    try_it("a relative one", one["saveVm"], 400, name("saveVm"), body={"directory": "here"})
    try_it("both", one["saveVm"], 400, name("saveVm"), body={"directory": "/tmp/x", "name": "x"})
    try_it("compressed", one["saveVm"], 200, name("saveVm"), body={"leave_running": True, "name": "small", "compress": True})
    kept = json.loads(try_it("a compressed one", one["getCheckpoint"], 200, name("getCheckpoint", "small"))[2])
    result("saveVm: its memory is compressed", None if kept.get("compressed", {}).get("method") == "zstd" else str(kept))
    try_it("since a compressed one", one["saveVm"], 422, name("saveVm"), body={"base": "small", "name": "part"})
    try_it("is removed", one["deleteCheckpoint"], 204, name("deleteCheckpoint", "small"))
    try_it("of what changed, in one that was not restored", one["saveVm"], 422, name("saveVm"), body={"base": "kept", "name": "part"})
    try_it("since one that is not there", one["saveVm"], 400, name("saveVm"), body={"base": "nothere"})
    try_it("since a relative one", one["saveVm"], 400, name("saveVm"), body={"base": "./kept"})
    try_it("and ends", one["saveVm"], 200, name("saveVm"))
    state = json.loads(try_it("of a saved one", one["getVm"], 200, name("getVm"))[2])["state"]
    result("getVm: it is saved", None if state == "saved" else state)
    try_it("of a saved one", one["saveVm"], 409, name("saveVm"))
    try_it("of a saved one", one["startVm"], 409, name("startVm"))
    rows = json.loads(try_it("works", one["listCheckpoints"], 200)[2])["checkpoints"]
    result("listCheckpoints: has it", None if [row["vm"] for row in rows if row["name"] == "kept"] == [subject["id"]] else str(rows))
    try_it("works", one["getCheckpoint"], 200, name("getCheckpoint"))
    again = json.loads(try_it("works", one["restoreVm"], 200, name("restoreVm"))[2])
    result("restoreVm: it is the VM that it was", None if (again["id"], again["state"]) == (subject["id"], "running") else str(again))
    try_it("a second one beside it", one["restoreAny"], 200, body={"from": "kept", "name": "second", "paused": True})
    made = json.loads(try_it("works", one["cloneVm"], 200, name("cloneVm"), body=one["cloneVm"].example)[2])["clones"]
    result("cloneVm: has made two", None if [row["name"] for row in made if not row["error"]] == ["copy-1", "copy-2"] else str(made))
    try_it("too many", one["cloneVm"], 400, name("cloneVm"), body={"count": 100000})
    for vm in ["kept", "second"] + [row["id"] for row in made]:
        try_it("works", one["deleteVm"], 204, name("deleteVm", vm) + "?force=true")
    try_it("works", one["deleteCheckpoint"], 204, name("deleteCheckpoint"))
    try_it("is gone", one["getCheckpoint"], 404, name("getCheckpoint"))
    return {"saveVm", "restoreVm", "restoreAny", "cloneVm", "listCheckpoints", "getCheckpoint", "deleteCheckpoint"}


def others(called):
    """What has no story of its own: with the file's examples, and any answer that the file allows."""
    for name, operation in OPERATIONS.items():
        if name not in called:
            query = "&".join(f"{key}={one['example']}" for key, one in operation.query.items() if "example" in one)
            simple = operation.method == "GET" and not operation.in_path
            try_it("answers", operation, 200 if simple else None, operation.address() + (f"?{query}" if query else ""), operation.example)


compare_operations()
called_ = live()
called_ |= store()
called_ |= pools()
services()
called_ |= saves()
others(called_)
try_methods()
sys.exit(failures > 0)
