// A web framework of Go: gin, which stops in order.
// needs: github.com/gin-gonic/gin@v1.10.1
// serve: $tree/bin/gin $port
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	app := gin.New()
	app.GET("/hello", func(c *gin.Context) { c.JSON(200, gin.H{"hello": c.Query("name")}) })
	app.GET("/big", func(c *gin.Context) { c.String(200, strings.Repeat("0123456789abcdef", 65536)) })
	app.POST("/echo", func(c *gin.Context) {
		body, _ := io.ReadAll(c.Request.Body)
		c.Data(200, "application/octet-stream", body)
	})
	server := &http.Server{Addr: ":" + os.Args[1], Handler: app}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	stopped := make(chan error)
	go func() {
		<-stop.Done()
		stopped <- server.Shutdown(context.Background())
	}()
	fmt.Println(server.ListenAndServe())
	fmt.Println("shutdown:", <-stopped)
}
