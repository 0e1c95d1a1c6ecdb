#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every command and option of Docker's either works or is answered by a line that says what to do instead.
# timeout: 60
. "$(dirname "$0")/lib.sh"

# No word of these may be met with nothing but that it is not known.
answered() { # NAME COMMAND...
	"${@:2}" >"$work/out" 2>&1 </dev/null
	if grep -qE 'unknown (command|option)|did you mean' "$work/out" || [ "$(wc -l <"$work/out")" -gt 200 ]; then
		cat "$work/out"
		not_ok "$1" 'it is only unknown'
	else
		ok "$1"
	fi
}
commands='attach build builder buildx checkpoint commit compose config container context cp create diff events exec export history image images import info init inspect
	kill load login logout logs manifest network node pause plugin port ps pull push rename restart rm rmi run save scout search secret service stack start stats stop swarm
	system tag top trust unpause update version volume wait'
for word in $commands; do answered "docker $word" "$lightvm" "$word" --help; done

run='add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period
	cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
	disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval health-retries health-start-interval
	health-start-period health-timeout hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver
	log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit
	platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty
	ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir'
# A value that none of them takes, and nothing to run: whatever is understood ends there.
for word in $run; do answered "docker run --$word" "$lightvm" run "--$word" ''; done
for letter in a c d e h i l m p P q t u v w; do answered "docker run -$letter" "$lightvm" run "-$letter" ''; done

others='ps:all,filter,format,last,latest,no-trunc,quiet,size logs:details,follow,since,tail,timestamps,until inspect:format,size,type exec:detach,detach-keys,env,env-file,interactive,privileged,tty,user,workdir
	stop:signal,time,timeout restart:signal,time,timeout rm:force,link,volumes start:attach,interactive,detach-keys cp:archive,follow-link,quiet kill:signal
	update:memory,cpus,restart,cpu-shares,pids-limit stats:all,format,no-stream,no-trunc'
for entry in $others; do
	for word in $(tr , ' ' <<<"${entry#*:}"); do answered "docker ${entry%%:*} --$word" "$lightvm" "${entry%%:*}" "--$word" '' nothere; done
done
for word in -v -H --host --context -D --debug --log-level; do answered "docker $word" "$lightvm" "$word" nothere ps; done
for word in prune pull push load save tag history; do answered "docker image $word" "$lightvm" image "$word"; done
says 'docker run --network host' 125 'passt,host lets it reach' "$lightvm" run --network host /bin/true
says 'docker run --net bridge' 125 'leave it out' "$lightvm" run --net bridge /bin/true
says 'docker save -o' 125 'saves a running VM' "$lightvm" save -o x.tar one
"$lightvm" create --name gone /bin/true >/dev/null
check 'docker rm -fv' "$lightvm" rm -fv gone
says 'a template of ps' 125 'templates are not read: use --format json, and jq' "$lightvm" ps --format '{{.Names}}'
"$lightvm" create --name one /bin/true >/dev/null
says 'a template of inspect' 125 'templates are not read; name a member' "$lightvm" inspect -f '{{.State.Status}}' one
says 'what is not known at all' 125 'unknown option --colour' "$lightvm" run --colour /bin/true
says '  of another verb' 125 'unknown option --colour' "$lightvm" ps --colour
finish
