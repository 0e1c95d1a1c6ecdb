# SPDX-License-Identifier: Apache-2.0
# From "python3 -m test -v", lines "TEST RESULT": what a test prints itself may stand between its name and its result.
function tell() { if (name) print name, (result ? result : "unfinished"); name = result = "" }
/^(test[A-Za-z0-9_]*|setUpClass|tearDownClass) \([A-Za-z0-9_.]+\)/ {
	tell()
	name = substr($2, 2, length($2) - 2)
	if ($1 !~ /^test/) name = $1 "." name
}
name && !result && match($0, /(\.\.\. |^)(ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)$/) {
	result = $0
	sub(/^.*\.\.\. /, "", result)
	sub(/ .*/, "", result)
}
END { tell() }
