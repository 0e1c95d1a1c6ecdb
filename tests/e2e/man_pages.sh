#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Man pages tell of what programs take, and of nothing else: each option of --help is in the page, each in the page in --help.
. "$(dirname "$0")/lib.sh"
export PATH=$build/cli:$PATH

# The options that a help text lists, one a line; what begins a later line of a text that was wrapped is none.
listed() { grep -oE '^ {2,6}(-[[:alnum:]], )?--[a-z][a-z0-9-]*' | grep -oE -- '--[a-z0-9-]+' | sort -u; }
# Those that a page describes: what stands in the line behind .TP, each option of it.
described() { sed -n '/^\.TP/{n;s/\\-/-/g;p}' "$1" | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u; }
agrees() { # NAME PAGE COMMAND...: its --help and its page
	local name=$1 page=$2
	shift 2
	check "$name: its page has the options of --help, and no other" diff <(described "$page") <("$@" --help 2>&1 | listed)
}
check 'a page that lacks an option is seen' bash -c '! diff <(echo --one) <(printf "  -x, --one\n      --two N  text\n" | '"$(declare -f listed)"'; listed) >/dev/null'
agrees lightvm-vmm "$top/docs/man/lightvm-vmm.1" "$build/vmm/lightvm-vmm"
agrees lightvmd "$top/docs/man/lightvmd.8" "$build/daemon/lightvmd"

# Pages of verbs are made of the tables that parse: each verb, and each verb below it, has one, and all that its help says.
mapfile -t pages < <(cd "$build/cli/man1" && ls lightvm-*.1)
check 'there are pages of verbs' test "${#pages[@]}" -gt 40
for page in "${pages[@]}"; do
	words=${page#lightvm-}
	words=${words%.1}
	# "boot-time" is a verb, "pool-add" a verb and another one.
	lightvm "$words" --help >"$work/help" 2>&1 || lightvm "${words%%-*}" "${words#*-}" --help >"$work/help" 2>&1 ||
		{ not_ok "$page" 'it is of no verb'; continue; }
	diff <(described "$build/cli/man1/$page") <(listed <"$work/help") >"$work/diff" || { cat "$work/diff"; not_ok "$page" 'other options than --help'; }
done
lightvm --help | grep -oE '^  [a-z][a-z-]+ ' | tr -d ' ' | sort -u >"$work/verbs"
check 'the verbs of --help are found' test "$(wc -l <"$work/verbs")" -gt 40
lacks=$(while read -r verb; do [ -f "$build/cli/man1/lightvm-$verb.1" ] || echo "$verb"; done <"$work/verbs")
check "each verb of --help has a page; without one: ${lacks:-none}" test -z "$lacks"
finish
