#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The start files of share/template: a copy of a python3, node or java that has started does what the process does.
# timeout: 600
. "$(dirname "$0")/lib.sh"
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1} APP=$work/app
mkdir -p "$APP" "$work/template"
cp "$top"/share/template/* "$work/template"

# as NAME PROGRAM [IMAGE-OPTION...]
as() {
	local name=$1 program=$2
	shift 2
	"$lightvm" image build -o "$work/$name.lvm" "$@" -v "$work/template:/template" -v "$APP:$APP" "$program" >/dev/null || { not_ok "$name" 'no image'; return; }
	check "copies of one $name are what they are asked to be" within 150 python3 "$top/tests/e2e/template_files.py" "$build/vmm/lightvm-vmm" "$build/libos/libos.elf" "$work/$name.lvm" "$program" "$name"
}

python3 "$top/tests/e2e/template_files.py" - - - - prepare || { not_ok 'the programs' 'are not written'; finish; }
as python3 /usr/bin/python3 -v /usr/lib/python3.11:/usr/lib/python3.11
if [ -x /usr/bin/node ]; then as node /usr/bin/node; else skip 'copies of one node are what they are asked to be' 'node is not installed'; fi
if java=$(readlink -f /usr/bin/java) && [ -x /usr/bin/javac ]; then
	javac -d "$APP" "$APP"/*.java && javac -d "$work/template" "$work/template/Java.java" &&
		jar --create --file "$APP/show.jar" --main-class Show -C "$APP" Show.class
	as java "$java"
else skip 'copies of one java are what they are asked to be' 'no JDK is installed'; fi
finish
