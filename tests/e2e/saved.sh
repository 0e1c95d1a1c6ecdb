#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# VMs that are saved over the control socket, and go on in another monitor: a program that computes, and nginx under a client's connection.
# timeout: 400
. "$(dirname "$0")/lib_net.sh"
own_network
. "$(dirname "$0")/lib.sh"
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1}
by_hand() { within 100 python3 "$top/tests/e2e/saved.py" "$build/vmm/lightvm-vmm" "$build/libos/libos.elf" "$image" "$program" "$1"; }

program=$work/keeper image=$work/keeper.lvm
gcc -O1 -static -o "$program" "$top/tests/data/keeper.c" || { not_ok 'the program' 'is not compiled'; finish; }
"$lightvm" image build -o "$image" "$program" >/dev/null
check 'a program that computes goes on where it was, again and again' by_hand goes_on
check 'who saves a VM holds it, until he says so or goes' by_hand holds
check 'who looked at its memory does not end what another one saves' by_hand looks
check 'several go on from the same files, which stay what they were' by_hand clones
check 'memory comes in one slot or several' by_hand first_ram
check 'the pages that one writes first are there at once for the next' by_hand touched
mkdir "$work/small"
if mount -t tmpfs -o size=1m none "$work/small" 2>/dev/null; then
	SMALL=$work/small check 'what cannot be saved to is refused, a full disk told, and the VM goes on' by_hand refused_saves
	umount "$work/small"
else
	skip 'what cannot be saved to is refused, a full disk told, and the VM goes on' 'no file system can be mounted here'
fi
check 'what is not as it was is refused by name' by_hand refused_restores
check 'states of every version are read' by_hand old_states
check 'what is of another machine, or another library OS, is refused by what differs' by_hand other_machines

mkdir "$work/site"
for i in {1..500}; do echo 'a page'; done >"$work/site/page"
cat >"$work/site/nginx.conf" <<CONF
daemon off; master_process off; error_log /dev/stderr warn; pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
	server { listen 80; location / { root /srv; } }
}
CONF
program=/usr/sbin/nginx image=$work/nginx.lvm
"$lightvm" image build -o "$image" -v "$work/site:/srv" "$program" >/dev/null
if ip tuntap add lvweb mode tap 2>/dev/null && ip addr add 10.8.0.1/24 dev lvweb && ip link set lvweb up; then
	WEB='lvweb 10.8.0.2 10.8.0.1 -c /srv/nginx.conf -e /dev/stderr' check 'nginx goes on under a connection, whose client notices nothing' by_hand web
else
	skip 'nginx goes on under a connection, whose client notices nothing' 'no tap can be made here'
fi
finish
