#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints C source with each file as a string constant named after it: "kernel_base_config" for base.config.
echo '#include "tinyx/kernel_files.h"'
for file; do
	name=$(basename "$file" | tr . _)
	printf 'const char kernel_%s[] =\n' "$name"
	sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' "$file"
	echo ';'
done
