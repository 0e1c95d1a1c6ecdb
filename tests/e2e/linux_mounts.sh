#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# What can be changed in a Linux guest's file system: as tests/e2e/mounts.sh has it.
# timeout: 160
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
need_linux linux_mounts
LV_KERNEL_KIND=linux
. "$(dirname "$0")/mounts.sh"
