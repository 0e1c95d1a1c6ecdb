#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints C source with each file of rules as a string constant named after it: "default_rules" for default.rules.
echo '#include "tinyx/packages/rules.h"'
for file; do
	printf 'const char %s[] =\n' "$(basename "$file" | tr . _)"
	sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' "$file"
	echo ';'
done
