# SPDX-License-Identifier: Apache-2.0
def mean: add / length;
group_by(.address.city)
| map({city: .[0].address.city, count: length, oldest: (max_by(.age) | {name, age}), mean: (map(.score) | mean * 1000 | round / 1000),
	tags: ([.[].tags[]] | group_by(.) | map({(.[0]): length}) | add),
	names: [.[] | select(.name | test("^A[dl]a")) | .name | ascii_downcase] | sort | .[:5]})
| sort_by(.city)
