// A server of HTTP for `inuse run`. With -l it takes the socket that it is given (descriptor 3); without, it binds
// the address in its first argument, and `inuse run` keeps that socket from one generation to the next.
//
//	go build -o server server.go
//	inuse run -l 8080 -- ./server
//	inuse run -- ./server 127.0.0.1:8080
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		file := os.NewFile(3, "given")
		defer file.Close()
		return net.FileListener(file)
	}
	return net.Listen("tcp", os.Args[1])
}

func main() {
	body := "generation=" + os.Getenv("INUSE_GENERATION") + "\n"
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Second)
		fmt.Fprint(w, body)
	})
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	server, ended := &http.Server{}, make(chan struct{})
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		<-told
		// Shutdown closes connections that have not asked yet. One that was accepted a moment ago is about to:
		// nothing new is accepted from here on, and it gets that moment.
		listener.Close()
		time.Sleep(100 * time.Millisecond)
		server.Shutdown(context.Background())
		close(ended)
	}()
	server.Serve(listener)
	<-ended
}
