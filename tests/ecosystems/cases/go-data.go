// Databases in the process: SQLite in Go, bbolt, badger; files watched by fsnotify; programs started.
// needs: modernc.org/sqlite@v1.38.2 go.etcd.io/bbolt@v1.4.3 github.com/fsnotify/fsnotify@v1.9.0 github.com/dgraph-io/badger/v4@v4.8.0
// run: $tree/bin/go-data
// ignore: .*
package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/fsnotify/fsnotify"
	"go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func sqlite(dir string) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "people.db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(20000)")
	check(err)
	_, err = db.Exec("create table people (id integer primary key, name text)")
	check(err)
	var wait sync.WaitGroup
	for w := 0; w < 4; w++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := 0; i < 25; i++ {
				_, err := db.Exec("insert into people (name) values (?)", fmt.Sprint(w, "-", i))
				check(err)
			}
		}()
	}
	wait.Wait()
	var count, state string
	check(db.QueryRow("select count(*) from people").Scan(&count))
	check(db.QueryRow("pragma integrity_check").Scan(&state))
	fmt.Println("sqlite", count, state, db.Close())
}

func bolt(dir string) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt"), 0o600, nil)
	check(err)
	check(db.Update(func(tx *bbolt.Tx) error {
		bucket, _ := tx.CreateBucket([]byte("b"))
		return bucket.Put([]byte("k"), bytes.Repeat([]byte("v"), 100000))
	}))
	_, err = bbolt.Open(filepath.Join(dir, "bolt"), 0o600, &bbolt.Options{Timeout: 50 * time.Millisecond})
	fmt.Println("bolt, a second time:", err)
	check(db.Close())
}

func badgers(dir string) {
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "badger")).WithLogger(nil))
	check(err)
	for i := 0; i < 100; i++ {
		check(db.Update(func(tx *badger.Txn) error { return tx.Set([]byte(fmt.Sprint(i)), make([]byte, 1000)) }))
	}
	check(db.Close())
	db, err = badger.Open(badger.DefaultOptions(filepath.Join(dir, "badger")).WithLogger(nil))
	check(err)
	fmt.Println("badger", db.View(func(tx *badger.Txn) error { _, err := tx.Get([]byte("99")); return err }), db.Close())
}

func watch(dir string) {
	watcher, err := fsnotify.NewWatcher()
	check(err)
	check(watcher.Add(dir))
	go func() {
		check(os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o644))
		check(os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "newer")))
		check(os.Remove(filepath.Join(dir, "newer")))
	}()
	for event := range watcher.Events {
		fmt.Println("event", event.Op, filepath.Base(event.Name))
		if event.Op.Has(fsnotify.Remove) {
			break
		}
	}
	check(watcher.Close())
}

func main() {
	for _, parent := range []string{".", "/tmp"} {
		dir, err := os.MkdirTemp(parent, "data")
		check(err)
		sqlite(dir)
		bolt(dir)
		badgers(dir)
		watch(dir)
		check(os.RemoveAll(dir))
	}
	command := exec.Command("sh", "-c", "cat; echo $0 $WORD; exit 3", "zero")
	command.Stdin, command.Env = bytes.NewBufferString("in "), append(os.Environ(), "WORD=word")
	out, err := command.CombinedOutput()
	fmt.Printf("%s%v\n", out, err)
}
