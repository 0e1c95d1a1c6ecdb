#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm-tar, between a guest's files as its agent sends them and a tar archive: what arrives, and what a hostile guest or client gets for its trouble. The way through the
# API is in daemon_linux.sh.
. "$(dirname "$0")/lib.sh"
python3 "$(dirname "$0")/tar_tree.py" "$build/node/lightvm-tar" "$work" >"$work/out" 2>&1 || echo "not ok tar_tree.py - it ended with an error" >>"$work/out"
cat "$work/out"
failures=$(grep -c '^not ok' "$work/out")
finish
