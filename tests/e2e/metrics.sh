#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# GET /v1/metrics: what promtool and a reader of our own accept, and whether the figures are true.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
start_daemon || not_ok "lightvmd starts" "see above"

scrape() { curl -sf --max-time 30 -o "$work/metrics" --unix-socket "$socket" http://localhost/v1/metrics; }
# value 'NAME{LABELS}': of the last scrape.
value() { awk -v name="$1" 'index($0, name " ") == 1 { print $NF }' "$work/metrics"; }
check_lint() {
	if command -v promtool >/dev/null; then
		check "$1: promtool finds nothing" bash -c 'test -z "$(promtool check metrics <"$1" 2>&1)"' - "$work/metrics"
	else
		skip "$1: promtool" "it is not installed (scripts/setup --test brings it)"
	fi
	check "$1: the format, by a reader of our own" python3 "$work/format.py" "$work/metrics"
}
cat >"$work/format.py" <<'PY'
import re, sys
# The text format 0.0.4: a family's head comes once and before its lines, which follow each other; no series twice; histograms add up.
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+|NaN|\+Inf)$')
kinds, seen, closed, current, buckets = {}, set(), set(), None, {}
with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
    text = file.read()
assert text.endswith("\n") and not re.search(r"[\x00-\x09\x0b-\x1f]", text)
for number, line in enumerate(text.split("\n")[:-1], 1):
    where = f"line {number}: {line}"
    if line.startswith("# HELP "):
        continue
    if line.startswith("# TYPE "):
        _, _, name, kind = line.split(" ")
        assert name not in kinds and kind in ("counter", "gauge", "histogram"), where
        assert (kind == "counter") == name.endswith("_total"), where
        closed.add(current)
        kinds[name], current = kind, name
        continue
    match = LINE.match(line)
    assert match, where
    name, labels, value = match.groups()
    family = name
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix) and kinds.get(name[: -len(suffix)]) == "histogram":
            family = name[: -len(suffix)]
    assert family == current and family not in closed, where + " stands outside of its family"
    assert (name, labels) not in seen, where + " is there twice"
    seen.add((name, labels))
    if name.endswith("_bucket"):
        series = re.sub(r',?le="[^"]*"', "", labels)
        assert float(value) >= buckets.get(series, 0), where + " is less than the one before"
        buckets[series] = float(value)
    elif name.endswith("_count") and family != name:
        assert float(value) == buckets[labels], where + " is not the last bucket"
PY

check "without VMs" scrape
check_lint "without VMs"
check "its type is the format's" bash -c '[ "$(curl -s -o /dev/null -w "%{content_type}" --unix-socket "$1" http://localhost/v1/metrics)" = "text/plain; version=0.0.4; charset=utf-8" ]' - "$socket"

# ---- figures
"$lightvm" run -d --name web --label tier=web /usr/bin/sleep 1000 >"$work/out"
id=$(head -n 1 "$work/out")
"$lightvm" run -d --name other -m 32M /usr/bin/sleep 1000 >"$work/out"
for _ in 1 2 3; do "$lightvm" run --rm /usr/bin/true; done
"$lightvm" pause other >"$work/out"
api GET /v1/vms/none >"$work/out"
api GET /v1/vms/none >"$work/out"
seen() { scrape && [ "$(value 'lightvm_daemon_events_total{type="destroy"}')" = 3 ] && [ "$(value 'lightvm_daemon_events_total{type="start"}')" = 5 ]; }
check "all starts and ends are counted" await 10 seen
check_lint "with VMs"
is() { check "$1" bash -c '[ "$1" = "$2" ] || { echo "it is $1, not $2"; false; }' - "$(value "$2")" "$3"; }
is "state running" 'lightvm_vms{state="running"}' 1
is "state paused" 'lightvm_vms{state="paused"}' 1
is "a VM is told with its name, kernel and state" "lightvm_vm_info{vm=\"$id\",name=\"web\",kernel=\"libos\",state=\"running\"}" 1
is "requests by operation and status" 'lightvm_daemon_requests_total{operation="getVm",status="404"}' 2
# total REGEX LEAST MOST: the sum of all lines that match
total() { awk -v regex="$1" -v least="$2" -v most="$3" '$0 ~ "^" regex { sum += $NF } END { print sum; exit !(sum >= least && sum <= most) }' "$work/metrics"; }
check "starts, by whether a shell was ready" total 'lightvm_vm_claims_total' 5 5
check "start latencies" total 'lightvm_vm_start_seconds_count[{]kernel="libos"' 5 5
check "which are more than nothing" total 'lightvm_vm_start_seconds_sum[{]kernel="libos"' 0.0005 60
check "hits are those of a pool" total 'lightvm_pool_claims_total[{]pool="default",result="hit"' "$(value 'lightvm_vm_claims_total{result="hit"}')" "$(value 'lightvm_vm_claims_total{result="hit"}')"
check "a pool's shells" total 'lightvm_pool_shells[{]pool="default",state="wanted"' 1 64
check "and what they hold" total 'lightvm_pool_memory_bytes[{]pool="default"' 0 1e9
is "the memory limit of one" "lightvm_vm_memory_bytes{vm=\"$(head -n 1 <(jq -r '.vms[] | select(.name == "other").id' <(api GET /v1/vms)))\",name=\"other\",kind=\"limit\"}" 33554432
check "memory, processor time and exits are the VM's" awk -v vm="$id" 'index($0, vm) { v[$1] = $2 } END {
	for (name in v) if (name ~ /cpu_seconds/) cpu = v[name]; else if (name ~ /kind="private"/) private = v[name]; else if (name ~ /kind="mmio"/) exits = v[name]
	exit !(cpu > 0.0001 && cpu < 10 && private > 65536 && private < 1e8 && exits > 0) }' "$work/metrics"
check "descriptors are the daemon's" bash -c '[ "$1" -ge 15 ] && [ "$1" -le 400 ]' - "$(value lightvm_daemon_descriptors)"
check "memory is the daemon's" bash -c '[ "$1" -gt 1000000 ] && [ "$1" -lt 100000000 ]' - "$(value lightvm_daemon_memory_bytes)"
check "it agrees with lightvm stats" bash -c 'a=$("$1" stats --no-stream --format json web | jq ".[0].exits_mmio"); [ "$2" -le "$a" ]' - "$lightvm" \
	"$(value "lightvm_vm_exits_total{vm=\"$id\",name=\"web\",kind=\"mmio\"}")"

# ---- names with odd bytes: nobody may make one, but files can be written
odd() { # NAME: the row of VM "other" says this
	local other row
	other=$("$lightvm" inspect -f id other)
	row=$XDG_RUNTIME_DIR/lightvm/vms/$other/row
	python3 - "$row" "$1" <<'PY'
import os, sys
row, name = os.fsencode(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode("latin-1")
lines = os.readlink(row).split(b"\n")
lines[1] = name
os.unlink(row)
os.symlink(b"\n".join(lines), row)
PY
}
odd 'a\\b"c\xff\x1b[31m{}='
check "a name with odd bytes" scrape
check_lint "a name with odd bytes"
check "is escaped" grep -qF 'name="a\\b\"c?' "$work/metrics"

# ---- monitors that do not answer cost little
monitor=$("$lightvm" inspect -f record.pid web)
kill -STOP "$monitor"
check "one whose monitor is stopped does not hold it up" scrape
check_lint "one whose monitor is stopped"
is "it is still there, by its record" 'lightvm_vms{state="running"}' 1
kill -CONT "$monitor"
"$lightvm" kill web >"$work/out"
"$lightvm" rm -f web other >"$work/out"
answers "a query that is not known" 400 'query \"vms\": not known' GET '/v1/metrics?vms=1'
finish
