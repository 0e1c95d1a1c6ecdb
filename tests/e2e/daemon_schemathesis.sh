#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# lightvmd's API against docs/openapi.json once more, by schemathesis (PyPI), which thinks up requests that nobody here has, others each time: so only where it is asked
# for. LV_SCHEMATHESIS=pip fetches it, LV_SCHEMATHESIS=PROGRAM is one that is there; LV_SCHEMATHESIS_SECONDS: how long it runs (40).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
schemathesis=${LV_SCHEMATHESIS:-}
if [ -z "$schemathesis" ]; then
	skip "schemathesis" "it thinks up other requests each time: LV_SCHEMATHESIS=pip fetches and runs it, LV_SCHEMATHESIS=PROGRAM one that is there"
	finish
fi
if [ "$schemathesis" = pip ]; then
	if ! python3 -m venv "$work/venv" >"$work/out" 2>&1 || ! timeout 120 "$work/venv/bin/pip" install -q --retries 0 --timeout 10 'schemathesis>=4,<5' >"$work/out" 2>&1; then
		skip "schemathesis" "pip cannot install it: $(tail -n 1 "$work/out"); LV_SCHEMATHESIS=PROGRAM names one that is there"
		finish
	fi
	schemathesis=$work/venv/bin/schemathesis
fi
# It deletes whatever it is told of: kernels that took minutes to build, in the cache that tests share, would be among that.
export LIGHTVM_CACHE=$work/empty-cache
mkdir -m 700 "$LIGHTVM_CACHE"
start_daemon >"$work/out" || { not_ok "the daemon starts" "it does not answer"; finish; }

# It speaks TCP only.
cat >"$work/relay.py" <<'PY'
import socket, sys, threading

def pump(one, other):
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[2])
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
PY
port=$(free_port)
start python3 "$work/relay.py" "$port" "$socket"
await 10 bash -c 'exec 5<>/dev/tcp/127.0.0.1/$1' - "$port"

# What never ends by itself is asked to end; what answers by events says there how it ended, where nobody looks; connections that are no HTTP any more have tests of their own.
cat >"$work/hooks.py" <<'PY'
import schemathesis

WAITS = {"waitVm": 86400, "waitVmListens": 300}  # the most seconds that are taken


def at_once(operation, query):
    """The query of a request that ends soon; what would be refused stays as it is."""
    query = {key: "false" if key in ("follow", "stream", "progress") else value for key, value in query.items()}
    if operation == "followEvents":
        query["follow"] = "false"
    seconds = str(query.get("seconds", 1))
    if operation in WAITS and seconds.isdigit() and 1 <= int(seconds) <= WAITS[operation]:
        query["seconds"] = "1"
    return query


@schemathesis.serializer("application/x-tar")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    case.query = at_once(case.operation.definition.raw.get("operationId"), dict(case.query or {}))
PY
# A time-out that a request has set is answered by 504: that is no fault.
cat >"$work/schemathesis.toml" <<'TOML'
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "504"]
TOML
cd "$work" || exit 1
SCHEMATHESIS_HOOKS=$work/hooks.py "$schemathesis" run "$top/docs/openapi.json" --url "http://127.0.0.1:$port" --max-time "${LV_SCHEMATHESIS_SECONDS:-40}" --request-timeout 120 \
	--exclude-operation-id attachVm --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,use_after_free \
	--no-color --seed "${LV_SCHEMATHESIS_SEED:-1}" >"$work/said" 2>&1
status=$?
sed -n '/= FAILURES =/,$p' "$work/said"
if [ $status = 0 ]; then ok "schemathesis finds nothing"; else
	[ -s "$work/said" ] && grep -q '= FAILURES =' "$work/said" || cat "$work/said"
	not_ok "schemathesis finds nothing" "status $status"
fi
check "the daemon lives" kill -0 "$daemon"
check "and answers" api GET /v1/health
for vm in $("$lightvm" ps -aq); do "$lightvm" rm -f "$vm" >/dev/null 2>&1; done
finish
