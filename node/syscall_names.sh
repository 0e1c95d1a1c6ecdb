#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints "[number] = "name"," for every system call that the kernel's header has. Arguments: the C compiler's command.
echo '#include <asm/unistd_64.h>' | "$@" -E -dM -x c - | sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9]*\)$/[\2] = "\1",/p'
