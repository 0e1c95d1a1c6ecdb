#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# nginx of the distribution as a VM: real files byte for byte, then 10,000 requests on 50 connections; nothing may be lost.
# In the rig, where all is emulated: every 40th document only, 1,000 requests.
# timeout: 200
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
docs=/usr/share/doc
requests=10000
sample() { awk 'NR % 40 == 1'; }
all_documents() { find "$docs" -type f -size +0 -name '[a-zA-Z]*' | grep -vE '[^A-Za-z0-9/._-]' | sort; }
if [ -n "${LV_RIG:-}" ]; then
	requests=1000
	mkdir "$work/doc"
	{ ls -d "$docs"/nginx-common/copyright; all_documents | sample; } | (cd "$docs" && sed "s,^$docs/,," | cpio -pdL --quiet "$work/doc")
	docs=$work/doc
	sample() { cat; }
fi
port=$(free_port)
mkdir -p "$work/conf" "$work/www"
head -c 4096 /dev/urandom | base64 >"$work/www/page"
cat >"$work/conf/nginx.conf" <<CONF
daemon off;
master_process off;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 256; }
http {
	include /etc/nginx/mime.types;
	access_log /tmp/access.log;
	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
	uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
	sendfile on;
	gzip on;
	keepalive_requests 100000;
	server {
		listen 80;
		location /doc/ { alias $docs/; autoindex on; }
		location /logs/ { alias /tmp/; }
		location / { root $work/www; }
	}
}
CONF
start "$lightvm" run --name web -m 128M -p "$port:80" -v "$work/conf:$work/conf:ro" -v "$work/www:$work/www:ro" -v /etc/nginx:/etc/nginx:ro \
	-v "$docs:$docs:ro" /usr/sbin/nginx -c "$work/conf/nginx.conf" -e /dev/stderr >"$work/vm.out" 2>"$work/vm.err"
web=$pid
if ! await 30 "nginx to listen on port $port" curl -sf -o /dev/null "http://127.0.0.1:$port/page"; then
	cat "$work/vm.err"
	not_ok 'nginx starts' 'no answer'
	finish
fi
ok 'nginx starts'

# Every 40th of the machine's own documents, byte for byte.
bad=0 count=0
while IFS= read -r file; do
	count=$((count + 1))
	printf 'url = "http://127.0.0.1:%s/doc/%s"\noutput = "%s"\n' "$port" "${file#"$docs"/}" "$work/got.$count" >>"$work/urls"
	printf '%s\n' "$file" >>"$work/files"
done < <(all_documents | sample)
curl -sf -K "$work/urls" || bad=1
count=0
while IFS= read -r file; do
	count=$((count + 1))
	cmp -s "$file" "$work/got.$count" || { echo "differs: $file"; bad=$((bad + 1)); }
done <"$work/files"
if [ $bad = 0 ] && [ $count -gt 20 ]; then ok "nginx serves the documents"; else not_ok "nginx serves the documents" "$bad of $count differ"; fi
largest=$(find "$docs" -type f -printf '%s %p\n' | grep -vE '[^A-Za-z0-9/._ -]' | sort -n | tail -n 1 | cut -d' ' -f2-)
check 'the largest document' bash -c 'cmp <(curl -s "$1") "$2"' - "http://127.0.0.1:$port/doc/${largest#"$docs"/}" "$largest"
check 'a directory index' grep -q nginx <(curl -s "http://127.0.0.1:$port/doc/")
check 'a missing page is 404' test "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/none")" = 404
check 'a range' bash -c 'cmp <(curl -s -r 100-299 "$1") <(tail -c +101 "$2" | head -c 200)' - "http://127.0.0.1:$port/page" "$work/www/page"

lines() { curl -s "http://127.0.0.1:$port/logs/access.log" | grep -c "$1"; }
for kind in keep-alive close; do
	python3=/usr/bin/python3
	within 90 $python3 "$top/tests/data/load.py" "$port" "/page?$kind" $requests 50 $kind "$work/www/page" >"$work/load" 2>&1
	status=$?
	cat "$work/load"
	if [ $status = 0 ]; then ok "$requests requests, 50 connections, $kind"; else not_ok "$requests requests, 50 connections, $kind" "$(tail -n 1 "$work/load")"; fi
	got=$(lines "GET /page?$kind HTTP/1.1\" 200")
	if [ "$got" = $requests ]; then ok "the access log is complete, $kind"; else not_ok "the access log is complete, $kind" "$got lines"; fi
done
"$lightvm" stop web >/dev/null 2>&1
wait $web
status=$?
if [ $status = 0 ]; then ok 'nginx stops when asked'; else cat "$work/vm.err"; not_ok 'nginx stops when asked' "exit status $status"; fi
finish
