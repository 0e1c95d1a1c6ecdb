#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Network of a Linux guest: a tap with its offloads, and passt; iperf3 both ways, a server that speaks first.
# timeout: 110
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux net
[ "$(id -u)" = 0 ] || { skip net 'a tap needs root'; finish; }

# Hands descriptors to the monitor: of a tap that it makes, or of a passt that it starts.
cat >"$work/attach.py" <<'PYTHON'
import fcntl, os, socket, struct, subprocess, sys
kind, what = sys.argv[1].split("=")
if kind == "tap": # NAME or NAME,QUEUES
    name, queues = (what + ",1").split(",")[:2]
    fds = [os.open("/dev/net/tun", os.O_RDWR) for _ in range(int(queues))]
    for fd in fds:  # TUNSETIFF: TAP, NO_PI, VNET_HDR, and MULTI_QUEUE
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x5002 | (0x100 if len(fds) > 1 else 0)))
else:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    for end in ours, theirs: # passt drops what does not fit
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    subprocess.Popen(["passt", "-f", "-q", "-4", "-a", what, "-n", "255.255.255.0", "-g", "10.99.1.1", "-t", "5299:5201,5225:2525",
                      "-F", str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    fds = [ours.detach()]
for fd in fds:
    os.set_inheritable(fd, True)
os.execv(sys.argv[2], [arg.replace("NET", kind + ":" + ",".join("fd:%d" % fd for fd in fds)) for arg in sys.argv[2:]])
PYTHON

gcc -O1 -o "$work/greeter" "$top/tests/data/greeter.c" || { not_ok 'the server that speaks first' 'is not compiled'; finish; }

# guest HOW SCRIPT [NET-OPTIONS [CPUS]]
guest() {
	linux_initrd "$work/initrd" "$2" /usr/bin/iperf3=bin/iperf3 "$work/greeter=bin/greeter"
	start python3 "$work/attach.py" "$1" "$monitor" --kernel "$linux_kernel" --initrd "$work/initrd" --mem 192M --serial --cpus "${4:-1}" \
		--append 'console=ttyS0' --net "NET,mac=02:00:00:00:00:07${3:-}" >"$work/out" 2>&1
}
rate() { jq -r '.end | "\(.sum_received.bits_per_second / 1e6 | floor) Mbit/s"' "$work/json"; }
stream() { # NAME [OPTION]
	local name=$1
	shift
	check "$name" within 40 iperf3 -c 10.99.0.2 -n 8M -J "$@" # an amount, not a time: it is slow where it is emulated
	cp "$work/check.out" "$work/json"
	rate
	check "$name: bytes arrive" jq -e '.end.sum_received.bytes > 1e6' "$work/json"
}

# ---- a tap

up='ip link set lo up; ip addr add 10.99.0.2/24 dev eth0; ip link set eth0 up; echo 4096 131072 262144 >/proc/sys/net/ipv4/tcp_rmem; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu'
guest tap=lvtest0 "$up"'; greeter & iperf3 -s --forceflush'
await 10 'the tap' ip link show lvtest0
ip addr add 10.99.0.1/24 dev lvtest0
ip addr add fd99::1/64 dev lvtest0
ip link set lvtest0 up
check 'a tap: iperf3 listens' await 40 'iperf3' grep -q "Server listening" "$work/out"
check 'a tap: MAC address' grep -q '^02:00:00:00:00:07' "$work/out"
check 'a tap: MTU' grep -q '^1500' "$work/out"
check 'a tap: a server that speaks first' python3 "$top/tests/data/greeted.py" 10.99.0.2 2525 3
stream 'a tap: to the guest'
stream 'a tap: from the guest' -R
kill "$pid"
wait "$pid"

# ---- a tap with two queues
guest tap=lvtest1,2 "$up"'; ls /sys/class/net/eth0/queues; iperf3 -s --forceflush' '' 2
await 10 'the tap' ip link show lvtest1
ip addr add 10.99.0.1/24 dev lvtest1
ip link set lvtest1 up
check 'two queues: iperf3 listens' await 40 'iperf3' grep -q "Server listening" "$work/out"
check 'two queues: Linux uses both' grep -q 'tx-1' "$work/out"
stream 'two queues: to the guest' -P 4
stream 'two queues: from the guest' -P 4 -R
kill "$pid"
wait "$pid"

# ---- passt, which gives the address by DHCP; here it is known
if command -v passt >/dev/null; then
	# passt learns the guest's MAC address from the first frame of it, and sends to all until then, which Linux does not take.
	guest passt=10.99.1.2 "${up//10.99.0.2/10.99.1.2}; ip route add default via 10.99.1.1; ping -c 1 -W 2 10.99.1.1; greeter & iperf3 -s -1 --forceflush" ,mtu=9000
	check 'passt: iperf3 listens' await 40 'iperf3' grep -q "Server listening" "$work/out"
	check 'passt: MTU' grep -q '^9000' "$work/out"
	check 'passt: a server that speaks first' python3 "$top/tests/data/greeted.py" 127.0.0.1 5225 3
	check 'passt: to the guest' within 40 iperf3 -c 127.0.0.1 -p 5299 -t 2 -J
	cp "$work/check.out" "$work/json"
	rate
	check 'passt: bytes arrive' jq -e '.end.sum_received.bytes > 1e6' "$work/json"
	wait "$pid"
	check 'the guest ended by itself' test $? = 0
	cat "$work/out"
else
	skip passt 'passt is missing'
fi
# ---- by the command line: no DHCP server holds a program up for long, and links are as wide as the host's
ip link add lvbr1 type bridge
ip link set lvbr1 mtu 1400 up
busybox=$(command -v busybox)
began=$SECONDS
"$lightvm" run -d --name alone --kernel linux --net bridge:lvbr1 "$busybox" sleep 1000 >"$work/id" 2>"$work/err"
got=$("$lightvm" exec alone busybox cat /sys/class/net/eth0/mtu)
check 'the guest has the MTU of the bridge' test "$got" = 1400
check 'the bridge keeps it' test "$(cat /sys/class/net/lvbr1/mtu)" = 1400
running() { "$lightvm" ps --format json | jq -e '.[] | select(.name == "alone") | .state == "running"'; }
check 'without a DHCP server the program starts' await 60 'the program' running
echo "# that took $((SECONDS - began)) s"
"$lightvm" stop alone >"$work/out"
"$lightvm" run -d --name early --kernel linux --net bridge:lvbr1,mtu=1300 "$busybox" sleep 1000 >"$work/id" 2>"$work/err"
check 'stop finds the agent while an address is asked for' "$lightvm" stop early
check '  and it ended as it was asked to' test "$("$lightvm" wait early)" = 143
finish
