# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The same programs in containers of crun and of gVisor (runsc with systrap), where these are installed: with the host's /usr and /etc, and $files.
# gVisor is the one that scripts/setup --bench brought, or on the path. Sourced after bench/lib.sh.

runsc=$(PATH=${peer_gvisor:-/nonexistent}/bin:$PATH command -v runsc || :)
containers=$work/containers

# container_files NAME NETNS COMMAND...: a bundle of that name; NETNS: the path of a network namespace, or empty for one of its own.
container_files() {
	local bundle=$containers/$1 netns=$2 link
	shift 2
	mkdir -p "$bundle/rootfs"/{usr,etc,proc,dev,tmp,sys} "$bundle/rootfs$files" "$bundle/rootfs$build"
	for link in bin sbin lib lib64; do [ ! -L "/$link" ] || ln -sfn "usr/$link" "$bundle/rootfs/$link"; done
	printf '%s\n' "$@" | jq -Rs --arg files "$files" --arg build "$build" --arg netns "$netns" '
		["CAP_NET_BIND_SERVICE", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"] as $may |
		def bind: {destination: ., source: ., type: "bind", options: ["rbind", "ro"]};
		{ociVersion: "1.0.2", root: {path: "rootfs", readonly: false}, hostname: "bench",
		process: {user: {uid: 0, gid: 0}, cwd: "/", args: (split("\n") | .[:-1]), env: ["PATH=/usr/bin:/usr/sbin", "HOME=/tmp"], noNewPrivileges: true,
			capabilities: {bounding: $may, effective: $may, permitted: $may}},
		mounts: ([{destination: "/proc", type: "proc", source: "proc"}, {destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"]},
			{destination: "/tmp", type: "tmpfs", source: "tmpfs"}] + [("/usr", "/etc", $files, $build) | bind]),
		linux: {namespaces: ([{type: "pid"}, {type: "ipc"}, {type: "uts"}, {type: "mount"}] + [{type: "network"} + if $netns == "" then {} else {path: $netns} end])}}' >"$bundle/config.json"
}
# crun refuses hybrid cgroups (v1 with v2 beside it), so the v2 hierarchy is unmounted in a mount namespace of its own.
crun_in_order() { with_run unshare -m sh -c '! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified; exec "$@"' sh "$@"; }
gvisor() { "$runsc" --platform=systrap --ignore-cgroups --root="$work/runsc" "$@"; }

# Whether a container of each kind runs here at all; with a word if not.
crun_works() {
	have_crun || return 1
	container_files try-crun '' /usr/bin/true
	crun_in_order crun run -b "$containers/try-crun" lvb-try-$$ >"$work/log" 2>&1 || { say "  (crun is not compared: $(tail -n 1 "$work/log"))"; return 1; }
}
gvisor_works() {
	[ -n "$runsc" ] || { say "  (gVisor is not compared: there is no runsc; scripts/setup --bench brings it where Go is)"; return 1; }
	container_files try-gvisor '' /usr/bin/true
	gvisor --network=none run -bundle "$containers/try-gvisor" lvb-try-$$ >"$work/log" 2>&1 || { say "  (gVisor is not compared: $(tail -n 1 "$work/log"))"; return 1; }
}
