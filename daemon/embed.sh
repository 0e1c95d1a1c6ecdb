#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints each file that is named as an array of C: page.html is page_html.
for file; do
	echo "static const unsigned char $(basename "$file" | tr . _)[] = {"
	od -An -v -tu1 "$file" | sed 's/\([0-9]\) *$/\1,/; s/\([0-9]\) \+/\1,/g'
	echo '};'
done
