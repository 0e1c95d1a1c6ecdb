// SPDX-License-Identifier: Apache-2.0
// Go's own net/http, with the paths of the other servers of bench/peers: /1k, /256k and /1m. web-go PORT
// language: go
package main

import (
	"net/http"
	"os"
)

func main() {
	for path, size := range map[string]int{"/1k": 1 << 10, "/256k": 256 << 10, "/1m": 1 << 20} {
		body := make([]byte, size)
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Write(body)
		})
	}
	panic(http.ListenAndServe(":"+os.Args[1], nil))
}
