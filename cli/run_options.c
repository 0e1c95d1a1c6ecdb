/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_options.h"

#include <stddef.h>

#define CPUS_MAX 32

#define AT(field) offsetof(struct run_options, field)
const struct option_spec run_option_table[] = {
	{ "detach", 'd', OPTION_FLAG, AT(detach), NULL, "start in the background and print the id" },
	{ "wait", 0, OPTION_STRING, AT(wait), "WHAT", "with -d: return when the program listens on a TCP port (listen, also if nothing is named), or has ended (exit; the exit status is the program's)", .words = "listen exit healthy", .otherwise = "listen" },
	{ "wait-time", 0, OPTION_NUMBER, AT(wait_seconds), "SECONDS", "with --wait: fail after so long, the VM runs on (default: listen 60, exit never)", .low = 1, .high = 86400 },
	{ "name", 0, OPTION_STRING, AT(name), "NAME", "a name that later commands can use in place of the id", .complete = "none" },
	{ "rm", 0, OPTION_FLAG, AT(remove), NULL, "leave nothing behind when the program has ended" },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "the most memory the VM may use, 4M to 64G (default 256M)", .low = 4u << 20, .high = 64ull << 30 },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "set a variable of the program's environment; NAME alone takes the value from here; may be repeated" },
	{ "env-file", 0, OPTION_STRING, AT(env_file), "FILE", "read variables from FILE, one NAME=VALUE a line", .complete = "file" },
	{ "label", 'l', OPTION_LIST, AT(labels), "NAME[=VALUE]", "a note for whoever looks after VMs; \"lightvm ps --filter label=NAME=VALUE\" finds it; may be repeated", .complete = "none" },
	{ "label-file", 0, OPTION_STRING, AT(label_file), "FILE", "read labels from FILE, one NAME=VALUE a line", .complete = "file" },
	{ "cidfile", 0, OPTION_STRING, AT(cid_file), "FILE", "write the VM's id to FILE, which must not be there", .complete = "file" },
	{ "pid-file", 0, OPTION_STRING, AT(pid_file), "FILE", "write the monitor's process number to FILE, at each start; for service managers", .complete = "file" },
	{ "entrypoint", 0, OPTION_STRING, AT(entrypoint), "PROGRAM", "run this program of IMAGE.lvm in place of its own; all arguments are for it", .complete = "none" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "working directory in the VM (default /)" },
	{ "user", 'u', OPTION_STRING, AT(user), "UID[:GID]", "user and group of the program in the VM, numbers or names of the image (default 0:0)" },
	{ "hostname", 'h', OPTION_STRING, AT(hostname), "NAME", "host name of the VM (default: its id)" },
	{ "publish", 'p', OPTION_LIST, AT(ports), "[IP:]HOST[:GUEST][/udp]", "forward a port of the host to the VM, to the same one if GUEST is left out; without IP on all IPv4 addresses of the host; may be repeated" },
	{ "volume", 'v', OPTION_LIST, AT(volumes), "HOST:/PATH[:ro]", "a copy of a file or directory of the host at /PATH, packed into the image: what the VM writes there ends with it, and what changes on the host is seen by the next start; with :ro the VM cannot write there; may be repeated", .complete = "file" },
	{ "restart", 0, OPTION_STRING, AT(restart), "POLICY", "what lightvmd does at its end: no (the default); on-failure, if its status is not 0, at most N times with on-failure:N; always, also after a restart of the machine or of lightvmd; unless-stopped, as always, but not if it was stopped by a user", .words = "no on-failure on-failure: always unless-stopped" },
	{ "init", 0, OPTION_FLAG, AT(init), NULL, "nothing: a Linux guest always has a first process that buries others, and a VM of the library OS has one process" },
	{ "network", 0, OPTION_STRING, AT(net), "KIND", "as --net", .words = "none passt passt,host tap: bridge:" },
	{ "read-only", 0, OPTION_FLAG, AT(read_only), NULL, "nothing of the file system can be changed, but in volumes, --tmpfs and /dev" },
	{ "mount", 0, OPTION_LIST, AT(mounts), "type=KIND,...", "-v and --tmpfs in Docker's other words: type=bind,source=HOST,target=/PATH[,readonly] or type=tmpfs,target=/PATH[,tmpfs-size=N][,tmpfs-mode=M]", .complete = "none" },
	{ "tmpfs", 0, OPTION_LIST, AT(tmpfs), "PATH[:size=N][,mode=M]", "an empty directory in the VM's memory at PATH, with a bound; may be repeated", .complete = "none" },
	{ "net", 0, OPTION_STRING, AT(net), "KIND", "none, passt (outgoing connections and -p, without any rights; started when the program sends its first packet; passt,host: the host's loopback is reached too, at 10.0.2.2), tap:NAME or bridge:NAME, with ,queues=2 to 4 behind it for a Linux guest of several vCPUs, with ,mtu=N where that of the device is not meant, and ,spoof=on for a guest that sends under other addresses than its own (default: passt)", .words = "none passt passt,host tap: bridge:" },
	{ "ip", 0, OPTION_STRING, AT(ip), "ADDR[/BITS]", "address of the VM (24 bits of network if none are given); with tap and bridge the default is DHCP" },
	{ "gateway", 0, OPTION_STRING, AT(gateway), "ADDR", "its default gateway" },
	{ "dns", 0, OPTION_STRING, AT(dns), "ADDR", "its name server" },
	{ "mac", 0, OPTION_STRING, AT(mac), "MAC", "its hardware address (default: made from the id)" },
	{ "disk", 0, OPTION_LIST, AT(disks), "FILE[,ro][,overlay][,serial=S]", "give the VM a block device; may be repeated; on the one with \"overlay\" a Linux guest keeps what the program writes", .complete = "file" },
	{ "kernel", 0, OPTION_STRING, AT(kernel), "KERNEL", "libos, linux (the kernel \"general\"), another one of \"lightvm kernel ls\", or the path of a bzImage or vmlinux (default: auto, libos for images that are known to run there, otherwise linux)", .complete = "kernel" },
	{ "cpus", 0, OPTION_NUMBER, AT(cpus), "N", "Linux guests: number of vCPUs, 1 to 32 (default 1)", .low = 1, .high = CPUS_MAX },
	{ "initrd", 0, OPTION_STRING, AT(initrd), "FILE", "Linux guests: an initial RAM disk in place of ours; the console is a serial port then", .complete = "file" },
	{ "append", 0, OPTION_STRING, AT(append), "TEXT", "Linux guests: more for the kernel's command line", .complete = "none" },
	{ "no-companions", 0, OPTION_FLAG, AT(no_companions), NULL, "pack the program and its libraries only, not the other files of its package" },
	{ "tty", 't', OPTION_FLAG, AT(tty), NULL, "give the program of a Linux guest a terminal of its own, with job control and resizing; the library OS passes a terminal through when there is one" },
	{ "interactive", 'i', OPTION_FLAG, AT(interactive), NULL, "with -d: standard input stays open for \"lightvm console\"; in the foreground it is always passed through" },
	{ 0 },
};
