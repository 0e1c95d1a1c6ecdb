#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Sameness: every program of programs.sh, from the same images, on Linux instead of the library OS.
# timeout: 160
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux programs
LV_KERNEL_KIND=linux
. "$(dirname "$0")/programs.sh"
