#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# nginx as it is meant to run: a master and two workers, on Linux.
# timeout: 60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux nginx
port=$(free_port)
mkdir -p "$work/conf" "$work/www"
head -c 4096 /dev/urandom | base64 >"$work/www/page"
cat >"$work/conf/nginx.conf" <<CONF
daemon off;
worker_processes 2;
user root;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
	uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
	keepalive_requests 1;
	server {
		listen 80 reuseport;
		location / { root $work/www; add_header X-Worker \$pid; }
	}
}
CONF
start "$lightvm" run --kernel linux --name web -m 128M --cpus 2 -p "$port:80" -v "$work/conf:$work/conf:ro" -v "$work/www:$work/www:ro" \
	-v /etc/nginx:/etc/nginx:ro /usr/sbin/nginx -c "$work/conf/nginx.conf" -e /dev/stderr >"$work/vm.out" 2>"$work/vm.err"
web=$pid
if ! await 20 "nginx to listen on port $port" curl -sf -o /dev/null "http://127.0.0.1:$port/page"; then
	cat "$work/vm.err"
	not_ok 'nginx starts' 'no answer'
	finish
fi
ok 'nginx starts'
bad=0
for i in $(seq 1 100); do
	curl -sf -D "$work/head" -o "$work/got" "http://127.0.0.1:$port/page" && cmp -s "$work/got" "$work/www/page" || bad=$((bad + 1))
	grep -i '^x-worker' "$work/head" >>"$work/workers"
done
check '100 pages, byte for byte' test $bad = 0
sort -u "$work/workers"
check 'two workers answer' test "$(sort -u "$work/workers" | wc -l)" = 2
"$lightvm" stop web >/dev/null
wait "$web"
check 'it stops when it is told to' test $? = 0
tail -n 5 "$work/vm.err"
finish
