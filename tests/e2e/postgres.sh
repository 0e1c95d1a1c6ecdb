#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PostgreSQL on the library OS: a server of several processes that share memory, made, started, asked, loaded by four clients and stopped by a script, as a user that is not root.
# timeout: 240
. "$(dirname "$0")/lib.sh"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "$bin/initdb" ] && [ -x "$bin/pgbench" ] || { skip 'a server of several processes' 'PostgreSQL is not installed here'; finish; }

# /etc is root's, and the program another user: what libos writes there is there all the same.
run --user 33:33 bash -c 'grep -c localhost /etc/hosts; ls -n /etc/hosts | cut -d" " -f 3,4; (echo x >/etc/hosts) 2>/dev/null || echo refused' >"$work/hosts" 2>"$work/err"
printf '2\n0 0\nrefused\n' >"$work/want"
check 'the names that libos writes are there for a user, and root'\''s' diff "$work/want" "$work/hosts"

status=0
run -m 768M --user 33:33 bash -c "
set -e
export LC_ALL=C PGHOST=/tmp PGDATABASE=postgres
$bin/initdb -D /tmp/pg -U postgres --auth trust >/tmp/log 2>&1 || { cat /tmp/log; exit 10; }
$bin/pg_ctl -D /tmp/pg -l /tmp/pg.log -o '-k /tmp' -w start >/dev/null || { cat /tmp/pg.log; exit 11; }
$bin/psql -U postgres -Atqc 'create table t as select generate_series(1, 1000) a' -c 'select sum(a) from t'
$bin/psql -U postgres -h localhost -Atqc 'select count(*) from pg_stat_activity where backend_type = '\''client backend'\'
$bin/pgbench -U postgres -i -q >/dev/null 2>&1 || exit 12
$bin/pgbench -U postgres -c 4 -t 50 2>/dev/null | grep -o 'processed: 200/200'
$bin/psql -U postgres -Atqc 'select sum(delta) = (select sum(abalance) from pgbench_accounts) from pgbench_history'
$bin/pg_ctl -D /tmp/pg -m fast -w stop >/dev/null
grep -c 'database system is shut down' /tmp/pg.log
$bin/postgres --single -D /tmp/pg postgres </dev/null >/dev/null && echo again
" >"$work/out" 2>"$work/err" || status=$?
printf '500500\n1\nprocessed: 200/200\nt\n1\nagain\n' >"$work/want"
check 'it is made, answers by both kinds of sockets, keeps its books under load, stops' diff "$work/want" "$work/out"
[ $status = 0 ] && ok 'with status 0' || { cat "$work/err"; not_ok 'with status 0' "$status"; }
finish
