#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# PostgreSQL on Linux: initdb, a server of many processes, pgbench for 10 seconds, a clean end.
# timeout: 110
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux postgres
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "$bin/initdb" ] || { skip postgres 'postgresql is missing; scripts/setup --test installs it'; finish; }
version=$(basename "${bin%/bin}")

cat >"$work/script" <<'SCRIPT'
set -e
PATH=$1:/bin
cd /tmp
initdb -D data -A trust -N --locale=C -E UTF8 >initdb.log 2>&1 || { cat initdb.log; exit 11; }
echo "initdb done"
pg_ctl -D data -w -t $2 -l log -o '-k /tmp -c listen_addresses= -c shared_buffers=16MB' start >ctl.log 2>&1 || { cat ctl.log log; exit 12; }
echo "server up"
pgbench -h /tmp -i -q -s 1 postgres >bench.log 2>&1 || { cat bench.log log; exit 13; }
pgbench -h /tmp -c 4 -j 2 -T 10 postgres || { cat log; exit 14; }
pg_ctl -D data -w -t $2 -m fast stop >ctl.log 2>&1 || { cat ctl.log log; exit 15; }
echo "server down"
SCRIPT
# What these programs need of the package: without the compiler that it brings (LLVM), the image is a fifth.
home=${bin%/bin} share=/usr/share/postgresql/$version
mkdir -p "$work/home"/{bin,lib} "$work/share/extension"
cp "$bin"/{initdb,postgres,pg_ctl,pgbench} "$work/home/bin"
cp "$home"/lib/{plpgsql,dict_snowball}.so "$work/home/lib"
cp -r "$share"/{*.sql,*.bki,*.txt,*.sample,timezonesets,tsearch_data} "$work/share"
cp "$share"/extension/plpgsql* "$work/share/extension"
# initdb and pg_ctl want a shell; busybox is one.
within 100 "$lightvm" run --kernel linux --net none --rm -m 512M --cpus 2 -u nobody -e TZ=UTC --copy "$work/home:$home:ro" --copy "$work/share:$share:ro" \
	-v "$(command -v busybox):/bin/sh:ro" -v "$work/script:/script:ro" "$(command -v busybox)" sh /script "$bin" $((60 * ${LV_TIME_FACTOR:-1})) >"$work/out" 2>"$work/err"
status=$?
[ $status = 0 ] || { cat "$work/out"; tail -n 20 "$work/err"; }
check 'PostgreSQL: exit status' test $status = 0
for line in 'initdb done' 'server up' 'number of failed transactions: 0 (0.000%)' 'server down'; do
	check "PostgreSQL: $line" grep -qF "$line" "$work/out"
done
check 'PostgreSQL: transactions' awk '/^number of transactions actually processed/ { exit !($NF + 0 > 50) }' "$work/out"
grep -E '^(tps|latency average|number of transactions act)' "$work/out"
finish
