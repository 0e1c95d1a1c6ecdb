#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An idle VM's own pages, of monitor and guest: what each further one takes, beside what the kernel keeps for it (docs/benchmarks.md).
. "$(dirname "$0")/lib.sh"
pages() { awk '/^RssAnon/ { print $2 }' "/proc/$("$lightvm" ps --format json | jq -r ".[] | select(.name == \"$1\").pid")/status"; } # KiB
"$lightvm" run -d --name first --net none "$build/apps/pause" >/dev/null # it may ask KVM what all after it read
begun() { "$lightvm" boot-time "$1" | grep -q '^program'; }
no_more_than() { # VM KIB
	await 20 "the program of $1" begun "$1" && echo "$1: $(pages "$1") KiB" && [ "$(pages "$1")" -le "$2" ]
}
"$lightvm" run -d --name alone --net none "$build/apps/pause" >/dev/null
check 'an idle VM has at most 272 KiB of its own' no_more_than alone 272
"$lightvm" run -d --name netted --net passt "$build/apps/pause" >/dev/null
check 'one with a network, none of whose buffers was used, at most 340 KiB' no_more_than netted 340
finish
