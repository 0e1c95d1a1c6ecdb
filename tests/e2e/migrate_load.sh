#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs of the distribution move between two hosts while they are at work, there and back, in each way: nginx fails no request, redis keeps every write that it
# acknowledged, sqlite3 goes on in the middle of its transactions.
# timeout: 240
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
two_networks || { skip "moving under load" "no bridges or veths can be made here"; finish; }
trust_each_other
check "both hosts listen" serve_both

# there_and_back VM PROGRESS: in each way; between any two of them the command PROGRESS has to see that the program is at work.
there_and_back() {
	local vm=$1 from=a to=b way
	for way in --pre-copy --stop-and-copy; do
		for _ in there back; do
			check "$vm moves by $way" moves "$from" "$vm" "$way"
			check "  it runs there" test "$(states "$to")" = "$vm:running"
			check "  nothing is left here" nothing_at "$from"
			check "  it is at work" await 20 "$vm" "$2" "$to"
			read -r from to <<<"$to $from"
		done
	done
}

# ---- nginx, on connections that stay and on new ones
mkdir -p "$work/conf" "$work/www"
head -c 4096 /dev/urandom | base64 >"$work/www/page"
temp_paths=$(printf '%s_temp_path /tmp/%s; ' client_body client_body proxy proxy fastcgi fastcgi uwsgi uwsgi scgi scgi)
cat >"$work/conf/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/nginx.pid;
events { worker_connections 256; }
http { access_log off; $temp_paths keepalive_requests 1000000; server { listen 80; root $work/www; } }
CONF
check "nginx" in_a "$lightvm" run -d --wait --name web --net bridge:br0 --ip 10.77.0.10/24 --copy "$work/conf:$work/conf:ro" --copy "$work/www:$work/www:ro" \
	/usr/sbin/nginx -c "$work/conf/nginx.conf" -e /dev/stderr
loads=()
for kind in keep-alive close; do
	start python3 "$top/tests/data/load.py" 10.77.0.10:80 /page "$work/stop.web" 20 $kind "$work/www/page" >"$work/load.$kind" 2>&1
	loads+=("$pid")
done
answers() { curl -s --max-time 10 http://10.77.0.10/page | cmp -s - "$work/www/page"; }
there_and_back web answers
touch "$work/stop.web"
check "no request of connections that stay failed" wait "${loads[0]}"
check "nor of new ones" wait "${loads[1]}"
cat "$work"/load.*
a "$lightvm" rm -f web >/dev/null

# ---- redis, whose clients know what it acknowledged
check "redis" in_a "$lightvm" run -d --wait --name redis --net bridge:br0 --ip 10.77.0.11/24 /usr/bin/redis-server --save '' --bind 0.0.0.0 --protected-mode no
start python3 "$top/tests/data/redis_writer.py" 10.77.0.11 "$work/stop.redis" 8 >"$work/writer" 2>&1
writer=$pid
answers() { [ "$(timeout 10 bash -c 'exec 3<>/dev/tcp/10.77.0.11/6379; echo PING >&3; head -n 1 <&3')" = $'+PONG\r' ]; }
there_and_back redis answers
touch "$work/stop.redis"
check "redis has every write that it acknowledged, once" wait "$writer"
cat "$work/writer"
a "$lightvm" rm -f redis >/dev/null

# ---- sqlite3, which looks over its file after each hundred transactions; as often as it takes: a file that reads another one ten times, and that one
mkdir "$work/sql"
{
	for _ in {1..100}; do
		echo "BEGIN; INSERT INTO t SELECT coalesce(max(n), 0) + 1, random(), randomblob(300) FROM t; UPDATE t SET twin = data WHERE n = (SELECT max(n) FROM t);"
		echo "DELETE FROM t WHERE n <= (SELECT max(n) - 1000 FROM t); COMMIT;"
	done
	echo "SELECT (SELECT * FROM pragma_integrity_check) || ' ' || max(n) || ' ' || (max(n) - min(n) + 1 = count(*) AND sum(data = twin) = count(*)) FROM t;"
} >"$work/sql/0"
for level in 1 2 3 4; do for _ in {1..20}; do echo ".read /sql/$((level - 1))"; done >"$work/sql/$level"; done
check "sqlite3" in_a "$lightvm" run -d --name sql --net none --copy "$work/sql:/sql:ro" /usr/bin/sqlite3 -batch /tmp/db 'CREATE TABLE t (n INTEGER PRIMARY KEY, twin, data)' '.read /sql/4'
check "  it writes" await 30 "lines" said a sql 2
at_work() { said "$1" sql 3; }
sound() { b "$lightvm" logs sql | awk '$1 != "ok" || $3 != 1 || (NR > 1 && $2 != last + 100) { print; exit 1 } { last = $2 }'; }
there_and_back sql at_work
check "  once more" moves a sql
check "  it is at work" await 20 "sqlite3" at_work b
check "its file is whole, and no transaction is lost or done twice" sound
b "$lightvm" logs sql | tail -n 1
finish
