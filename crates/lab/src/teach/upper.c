/* What `inuse lab serve upper` does, as plain C with epoll: the other side of its benchmark.
 * One thread, non-blocking, level-triggered; what a client does not take waits in a buffer of its own, and
 * nothing more is read from it meanwhile. Prints its port, and each client's address. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, EVENTS = 256 };

struct client {
    int fd;
    int ended;
    size_t from, to;
    char *waiting;
};

static int queue;

static void watch(struct client *c, unsigned events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(queue, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(struct client *c) {
    close(c->fd);
    free(c->waiting);
    free(c);
}

/* 0 when the client is gone. */
static int flush(struct client *c) {
    while (c->from < c->to) {
        ssize_t n = send(c->fd, c->waiting + c->from, c->to - c->from, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        c->from += n;
    }
    return 1;
}

static void attend(struct client *c) {
    static char buffer[BUFFER];
    int was = c->from < c->to;
    if (!flush(c)) return drop(c);
    while (c->from == c->to && !c->ended) {
        ssize_t n = recv(c->fd, buffer, BUFFER, 0);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return drop(c);
        if (n == 0) {
            c->ended = 1;
            break;
        }
        for (ssize_t i = 0; i < n; i++) buffer[i] = toupper((unsigned char)buffer[i]);
        ssize_t sent = send(c->fd, buffer, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return drop(c);
        if (sent < 0) sent = 0;
        if (sent < n) {
            if (!c->waiting) c->waiting = malloc(BUFFER);
            memcpy(c->waiting, buffer + sent, n - sent);
            c->from = 0;
            c->to = n - sent;
        }
        if (n < BUFFER) break;
    }
    int is = c->from < c->to;
    if (c->ended && !is) return drop(c);
    if (is != was) watch(c, is ? EPOLLOUT : EPOLLIN);
}

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, SOMAXCONN)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &length);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    queue = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int count = epoll_wait(queue, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (c) {
                attend(c);
                continue;
            }
            for (int turns = 0; turns < 64; turns++) {
                struct sockaddr_in peer;
                length = sizeof peer;
                int fd = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) break;
                int idle = 60, interval = 10, probes = 6;
                setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
                setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
                setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
                setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                char text[INET_ADDRSTRLEN];
                printf("client %s:%d\n", inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text), ntohs(peer.sin_port));
                c = calloc(1, sizeof *c);
                c->fd = fd;
                e = (struct epoll_event){.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(queue, EPOLL_CTL_ADD, fd, &e);
                attend(c);
            }
        }
        fflush(stdout);
    }
}
