// A web framework of Go: fiber, on fasthttp, with prefork: each child listens with SO_REUSEPORT.
// needs: github.com/gofiber/fiber/v2@v2.52.9
// serve: $tree/bin/fiber $port
package main

import (
	"os"
	"strings"

	"github.com/gofiber/fiber/v2"
)

func main() {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Get("/hello", func(c *fiber.Ctx) error { return c.JSON(fiber.Map{"hello": c.Query("name")}) })
	app.Get("/big", func(c *fiber.Ctx) error { return c.SendString(strings.Repeat("0123456789abcdef", 65536)) })
	app.Post("/echo", func(c *fiber.Ctx) error {
		c.Set("Content-Type", "application/octet-stream")
		return c.Send(c.Body())
	})
	if err := app.Listen("0.0.0.0:" + os.Args[1]); err != nil {
		panic(err)
	}
}
