#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Servers of several processes, languages that start programs, and what scripts start: as a VM each says what it says as processes. What is not installed
# here is skipped; all of it on Debian: apt install openssh-server dropbear-bin apache2 php-fpm php-cli r-base-core rabbitmq-server rsync haproxy memcached
# lighttpd unbound bind9-dnsutils mosquitto mosquitto-clients slapd ldap-utils squid samba smbclient cron supervisor tmux stress-ng guile-3.0
# timeout: 240
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin

# What both bodies begin with: scratch in /tmp, and waits that end.
# shellcheck disable=SC2016
prelude='cd /tmp
listens() { for ((i = 0; i < 200; i++)); do (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "nobody listens on $1"; }
turns() { for ((i = 0; i < 200; i++)); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $*"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
'
# The processes have a network, and directories that a VM has to itself, of their own, too.
private='for d in /tmp /run /root /var/log; do mount -t tmpfs none $d; done; mkdir -m 1777 /run/lock; chmod 1777 /tmp; ip link set lo up
'
apart=(unshare -m -n -p -f --mount-proc --kill-child)

# server NAME PROGRAM...: runs the script on stdin, which names these programs and others of their packages.
server() {
	local name=$1 program script native=0 vm=0
	shift
	script=$prelude$(cat)
	for program; do
		command -v "$program" >/dev/null || { skip "$name" "$program is not installed"; return; }
	done
	"${apart[@]}" true 2>/dev/null || { skip "$name" 'the processes cannot have namespaces of their own'; return; }
	within 30 "${apart[@]}" bash -c "$private$script" </dev/null >"$work/native.out" 2>"$work/native.err" || native=$?
	within 60 "$lightvm" run -m 512M bash -c "$script" </dev/null >"$work/vm.out" 2>"$work/vm.err" || vm=$?
	sed -i '/^[a-z]*\[[0-9]*\]: /d' "$work/vm.out" # syslog without a daemon writes to the console
	# A server that neither side has would be the same on both.
	if grep -E '^(nobody listens on|never: )' "$work/native.out"; then tail -n 20 "$work/native.err"; not_ok "$name" 'the processes do not serve either'; return; fi
	if [ $native = $vm ] && [ -s "$work/vm.out" ] && diff -u --label processes --label VM "$work/native.out" "$work/vm.out"; then ok "$name"; return; fi
	echo "--- the processes, status $native:" && tail -n 20 "$work/native.err"
	echo "--- the VM, status $vm:" && tail -n 20 "$work/vm.err"
	not_ok "$name" 'not what the processes say'
}

server 'sshd: a command, its status, scp, sftp' sshd ssh scp sftp ssh-keygen <<'S'
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f user; mkdir -p /run/sshd
printf '%s\n' 'Port 2222' 'ListenAddress 127.0.0.1' 'HostKey /tmp/host' 'AuthorizedKeysFile /tmp/user.pub' 'StrictModes no' 'UsePAM no' \
	'PidFile /tmp/pid' 'Subsystem sftp /usr/lib/openssh/sftp-server' >conf
/usr/sbin/sshd -f conf -E log
to=(-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i user)
listens 2222
ssh "${to[@]}" -p 2222 root@127.0.0.1 'echo "$((1 + 1))" | tr 2 b; id -u; exit 5'; echo "status $?"
seq 20000 >data; scp -q "${to[@]}" -P 2222 data root@127.0.0.1:/tmp/there && cmp data there && echo the same
echo 'get there back' | sftp -q "${to[@]}" -P 2222 -b - root@127.0.0.1:/tmp >/dev/null; cmp data back && echo the same
grep -i 'cannot\|error' log; kill "$(cat pid)"
S

server 'dropbear: a command and its status' dropbear dbclient dropbearkey <<'S'
mkdir -m 700 -p /root/.ssh; chmod 700 /root
dropbearkey -t ed25519 -f host >/dev/null 2>&1; dropbearkey -t ed25519 -f user 2>/dev/null | grep ^ssh >/root/.ssh/authorized_keys; chmod 600 /root/.ssh/*
dropbear -r host -P /tmp/pid -p 127.0.0.1:2223; listens 2223
dbclient -y -y -i user -p 2223 root@127.0.0.1 'echo hello | tr a-z A-Z; exit 6' 2>/dev/null; echo "status $?"; kill "$(cat pid)"
S

server 'apache with prefork, by apachectl' apache2 apachectl curl <<'S'
mkdir -p /var/log/apache2 www; echo page >www/index.html; chmod 755 www
printf '%s\n' 'ServerName localhost' 'Listen 127.0.0.1:8000' 'User www-data' 'Group www-data' 'PidFile /tmp/pid' 'ErrorLog /tmp/errors' 'LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so' \
	'LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so' 'LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so' 'StartServers 3' 'DocumentRoot /tmp/www' 'DirectoryIndex index.html' >conf
export APACHE_CONFDIR=/etc/apache2 APACHE_ARGUMENTS='-f /tmp/conf'
apachectl start; echo "start $?"; listens 8000
for _ in 1 2 3 4 5 6; do curl -s http://127.0.0.1:8000/; done
apachectl graceful; echo "graceful $?"; curl -s http://127.0.0.1:8000/
pid=$(cat pid); kill "$pid"; turns gone "$pid"; grep -c 'caught SIGTERM' errors
S

server 'php-fpm behind nginx' php-fpm8.2 nginx curl <<'S'
mkdir www; echo '<?php echo date("c", 0), " ", PHP_SAPI, " ", $_SERVER["QUERY_STRING"], " ", shell_exec("echo sub"); ' >www/a.php
printf '[global]\npid=/tmp/fpm.pid\nerror_log=/tmp/fpm.log\n[www]\nuser=www-data\ngroup=www-data\nlisten=/tmp/php.sock\nlisten.owner=www-data\npm=dynamic\npm.max_children=4\npm.start_servers=2\npm.min_spare_servers=1\npm.max_spare_servers=3\n' >fpm.conf
echo 'user www-data; worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/nginx.log; events {} http { access_log off; server { listen 127.0.0.1:8001; location / {
	fastcgi_pass unix:/tmp/php.sock; fastcgi_param SCRIPT_FILENAME /tmp/www$fastcgi_script_name; fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; } } }' >nginx.conf
php-fpm8.2 -n -y /tmp/fpm.conf; echo "fpm $?"; nginx -c /tmp/nginx.conf; echo "nginx $?"
for i in 1 2 3 4; do curl -s "http://127.0.0.1:8001/a.php?$i"; done
pid=$(cat fpm.pid); kill -QUIT "$pid"; turns gone "$pid"; kill "$(cat nginx.pid)"
S

server 'rsync, daemon and client' rsync <<'S'
printf '[m]\npath=/tmp/m\nread only=no\nuid=root\ngid=root\nuse chroot=no\n' >conf
mkdir m s s/d; seq 5000 >s/a; ln -s a s/l; echo x >s/d/b
rsync --daemon --config=conf --port=8730 --address=127.0.0.1 --log-file=log; listens 8730
rsync -a s/ rsync://127.0.0.1:8730/m/; echo $?; echo more >>s/a
rsync -a --delete --out-format=%n s/ rsync://127.0.0.1:8730/m/; rsync -a rsync://127.0.0.1:8730/m/ back/; diff -r s back && echo the same
S

server 'haproxy with a master, which is loaded anew' haproxy curl <<'S'
printf 'defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\nfrontend f\n bind 127.0.0.1:8002\n http-request return status 200 content-type text/plain string "answer\\n"\n' >conf
haproxy -W -D -p pid -f conf; echo $?; listens 8002; curl -s http://127.0.0.1:8002/
kill -USR2 "$(cat pid)"; curl -s --retry 5 --retry-all-errors http://127.0.0.1:8002/; pid=$(cat pid); kill "$pid"; turns gone "$pid"
S

server 'memcached in the background, as another user' memcached <<'S'
memcached -d -u nobody -l 127.0.0.1 -p 11311 -P /tmp/pid -t 2; echo $?; listens 11311
exec 3<>/dev/tcp/127.0.0.1/11311; printf 'set a 0 0 3\r\nabc\r\nget a\r\nquit\r\n' >&3; cat <&3; kill "$(cat pid)"
S

server 'lighttpd with workers and CGI' lighttpd curl <<'S'
mkdir www; echo page >www/index.html; printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\ncgi $REQUEST_METHOD\\n"\n' >www/a.sh; chmod +x www/a.sh
printf '%s\n' 'server.modules=("mod_cgi")' 'server.port=8003' 'server.bind="127.0.0.1"' 'server.document-root="/tmp/www"' 'index-file.names=("index.html")' 'server.pid-file="/tmp/pid"' \
	'cgi.assign=(".sh"=>"")' 'server.errorlog="/tmp/log"' 'server.max-worker=2' >conf
lighttpd -f conf; echo $?; listens 8003; curl -s http://127.0.0.1:8003/ http://127.0.0.1:8003/a.sh; pid=$(cat pid); kill "$pid"; turns gone "$pid"
S

server 'unbound with two threads' unbound dig <<'S'
printf 'server:\n interface: 127.0.0.1\n port: 5353\n num-threads: 2\n chroot: ""\n username: "nobody"\n pidfile: "/tmp/pid"\n use-syslog: no\n logfile: "/tmp/log"\n local-zone: "test." static\n local-data: "a.test. IN A 1.2.3.4"\n' >conf
unbound -c /tmp/conf; echo $?; listens 5353; dig +short @127.0.0.1 -p 5353 a.test; dig +short +tcp @127.0.0.1 -p 5353 a.test; kill "$(cat pid)"
S

server 'mosquitto: a message of quality 1' mosquitto mosquitto_sub mosquitto_pub <<'S'
printf 'listener 1884 127.0.0.1\nallow_anonymous true\npid_file /tmp/pid\n' >conf; mosquitto -c conf 2>log & listens 1884
mosquitto_pub -p 1884 -t t -r -m kept -q 1; mosquitto_sub -p 1884 -t t -C 1; kill "$(cat pid)"
S

server 'slapd: entries in and out' slapd ldapadd ldapsearch <<'S'
mkdir data; printf '%s\n' 'include /etc/ldap/schema/core.schema' 'pidfile /tmp/pid' 'modulepath /usr/lib/ldap' 'moduleload back_mdb' 'database mdb' 'maxsize 10485760' 'suffix "dc=t"' 'rootdn "cn=a,dc=t"' 'rootpw s' 'directory /tmp/data' >conf
slapd -f conf -h 'ldap://127.0.0.1:3890 ldapi://%2ftmp%2fldapi'; echo $?
printf 'dn: dc=t\nobjectClass: dcObject\nobjectClass: organization\no: t\ndc: t\n\ndn: ou=x,dc=t\nobjectClass: organizationalUnit\nou: x\n' | ldapadd -x -H ldap://127.0.0.1:3890 -D cn=a,dc=t -w s
ldapsearch -x -LLL -H ldapi://%2ftmp%2fldapi -b dc=t '(ou=x)'; kill "$(cat pid)"
S

server 'squid, its kids and helpers' squid lighttpd curl <<'S'
mkdir www; echo page >www/index.html; printf '%s\n' 'server.port=8004' 'server.bind="127.0.0.1"' 'server.document-root="/tmp/www"' 'index-file.names=("index.html")' 'server.pid-file="/tmp/origin"' >origin.conf; lighttpd -f origin.conf
printf '%s\n' 'http_port 127.0.0.1:3128' 'http_access allow all' 'pid_filename /tmp/pid' 'cache_log /tmp/log' 'access_log none' 'coredump_dir /tmp' 'visible_hostname x' 'cache_mem 8 MB' 'pinger_enable off' 'shutdown_lifetime 1 seconds' >conf
squid -f conf >/dev/null 2>&1; echo $?; listens 3128; curl -s -x http://127.0.0.1:3128 http://127.0.0.1:8004/; kill "$(cat pid)" "$(cat origin)"
S

server 'samba: a file of a share' smbd smbclient <<'S'
mkdir share s; echo shared >share/f; chmod 755 share
printf '%s\n' '[global]' 'private dir=/tmp/s' 'lock directory=/tmp/s' 'state directory=/tmp/s' 'cache directory=/tmp/s' 'pid directory=/tmp/s' 'ncalrpc dir=/tmp/s/n' 'smb ports=4450' 'log file=/tmp/s/log' 'guest account=nobody' \
	'map to guest=bad user' 'interfaces=lo' 'bind interfaces only=yes' '[s]' 'path=/tmp/share' 'guest ok=yes' >conf
smbd -s /tmp/conf -D; echo $?; listens 4450; smbclient -s /tmp/conf -N -p 4450 //127.0.0.1/s -c 'get f got' >/dev/null 2>&1; cat got; kill "$(cat s/smbd.pid)"
S

server 'cron starts, and finds its place' cron <<'S'
cron -L 0; echo $?; turns test -s /run/crond.pid; pid=$(cat /run/crond.pid); kill "$pid"; turns gone "$pid"
S

server 'supervisor, a script of python with modules of other packages' supervisord supervisorctl <<'S'
printf '%s\n' '[supervisord]' 'logfile=/tmp/log' 'pidfile=/tmp/pid' '[unix_http_server]' 'file=/tmp/sock' '[rpcinterface:supervisor]' 'supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface' \
	'[supervisorctl]' 'serverurl=unix:///tmp/sock' '[program:a]' 'command=sleep 100' 'startsecs=0' >conf
supervisord -c conf 2>/dev/null; echo $?; turns sh -c 'supervisorctl -c conf status a 2>/dev/null | grep RUNNING'; supervisorctl -c conf stop a 2>/dev/null; supervisorctl -c conf shutdown 2>/dev/null
S

server 'tmux: a terminal for another program' tmux <<'S'
export TERM=xterm LC_ALL=C.UTF-8
tmux -S sock new-session -d -x 80 -y 24 'echo hello; read x; echo got "$x" >got'; echo $?
turns sh -c 'tmux -S sock capture-pane -p | grep hello'; tmux -S sock send-keys abc Enter; turns test -s got; cat got
S

server 'R: packages, a model, commands, several processes' Rscript <<'S'
Rscript -e 'cat(mean(c(1, 2, 3)), sd(1:10), "\n"); print(system("echo sub | tr a-z A-Z", intern = TRUE)); print(coef(lm(dist ~ speed, cars))); print(unlist(parallel::mclapply(1:4, function(i) i^2, mc.cores = 2)))'
S

server 'erlang: processes, a port, a command' erl <<'S'
erl -noshell -eval 'io:format("~p~n", [lists:sum(lists:seq(1, 100))]), io:format("~s", [os:cmd("echo sub | tr a-z A-Z")]), {ok, S} = gen_tcp:listen(0, []), {ok, P} = inet:port(S), io:format("~p~n", [P > 0]), halt(3).'; echo $?
S

# Programs that ended for want of a file which no library names.
for words in "php -r 'echo date(\"c\", 0), \"\n\";'" "guile -c '(display 1)'"; do
	if command -v "${words%% *}" >/dev/null; then eval "same '${words%% *}, whose time zones and converters come along' -- $words"; else skip "${words%% *}" 'it is not installed'; fi
done

# Stressors of all kinds, each of which checks its own work.
if command -v stress-ng >/dev/null; then
	stressors=(clone eventfd fcntl fork futex kill mmap mq msg nanosleep pipe poll pthread rename sem-sysv shm-sysv sigsuspend sock switch timerfd udp vfork wait zombie)
	options=()
	for name in "${stressors[@]}"; do options+=("--$name" 1 "--$name-ops" 20); done
	within 60 "$lightvm" run -m 1G -- stress-ng --seq 1 --timeout 2 --temp-path /tmp "${options[@]}" >"$work/out" 2>&1 || : >"$work/bad"
	[ ! -e "$work/bad" ] && grep -q 'successful run' "$work/out" && ok "stress-ng: ${#stressors[@]} stressors" || { tail -n 20 "$work/out"; not_ok 'stress-ng' 'a stressor is not content'; }
else
	skip stress-ng 'it is not installed'
fi
finish
