// SPDX-License-Identifier: Apache-2.0
// The shortest program of Go: what its runtime takes to start.
package main

func main() {
	println("hello")
}
