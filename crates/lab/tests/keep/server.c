/* A server for the tests of keeping listeners. Each way of using its socket is a mode; none knows that it is kept.
 *
 *   server serve ADDR PORT TAG        accepts in a loop, answers each connection with TAG
 *   server fork ADDR PORT TAG         the same in a child of its own
 *   server thread ADDR PORT TAG       a thread sleeps in accept(); SIGTERM shuts the listener down, joins it, exits
 *   server dup ADDR PORT TAG          the same, but the thread accepts on a duplicate
 *   server poller ADDR PORT TAG       a thread sleeps in poll() on the listener; SIGTERM as above
 *   server loop ADDR PORT TAG         an event loop with epoll; shuts its listener down before it exits
 *   server busy ADDR PORT TAG         two threads; one is busy when the listener is shut down, and accepts later
 *   server prefork ADDR PORT TAG      two children sleep in accept(); SIGTERM shuts the listener down, waits for them
 *   server preforkpoll ADDR PORT TAG  the same, and the children sleep in poll()
 *   server workers ADDR PORT TAG      three listeners with SO_REUSEPORT, each with a thread
 *   server zero ADDR PORT TAG         a client's bind without a port, then a listener without a port; prints it
 *   server rebind ADDR PORT TAG       closes its listener and binds it again
 *   server udp ADDR PORT TAG          answers datagrams
 *   server unix PATH unlink|stay TAG  a unix stream socket; unlinks the path first, or does not
 *   server hostile                    sane and insane calls, all at once; prints "done"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *tag;
static int listener;
static volatile sig_atomic_t ended;

static void die(const char *what) {
	perror(what);
	exit(3);
}

static struct sockaddr_in at(const char *address, int port) {
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, address, &name.sin_addr);
	return name;
}

static int bound(const char *address, int port, int type, int reuseport) {
	struct sockaddr_in name = at(address, port);
	int one = 1, fd = socket(AF_INET, type, 0);
	if (reuseport) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&name, sizeof name)) die("bind");
	return fd;
}

static int listening(const char *address, int port) {
	int fd = bound(address, port, SOCK_STREAM, 0);
	if (listen(fd, 5)) die("listen");
	return fd;
}

static void answer(int connection) {
	char bytes[512];
	ssize_t got = read(connection, bytes, sizeof bytes);
	if (got >= 0) (void)!write(connection, tag, strlen(tag));
	close(connection);
}

static void *accept_all(void *fd) {
	for (;;) {
		int connection = accept((int)(intptr_t)fd, NULL, NULL);
		if (connection < 0 && errno == EINTR) continue;
		if (connection < 0) return NULL;
		answer(connection);
	}
}

static void *poll_all(void *fd) {
	for (;;) {
		struct pollfd one = { .fd = (int)(intptr_t)fd, .events = POLLIN };
		poll(&one, 1, -1);
		if (one.revents & (POLLHUP | POLLERR)) return NULL;
		int connection = accept(one.fd, NULL, NULL);
		if (connection >= 0) answer(connection);
	}
}

static pthread_barrier_t both;

static void *busy_then_accept(void *fd) {
	pthread_barrier_wait(&both);
	usleep(300 * 1000);
	return accept_all(fd);
}

/* Waits for SIGTERM, then ends the listener as the manual page of shutdown(2) suggests. */
static int until_term(pthread_t *threads, int count) {
	sigset_t term;
	int which;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigwait(&term, &which);
	pthread_barrier_wait(&both);
	if (shutdown(listener, SHUT_RDWR)) die("shutdown");
	for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
	return 0;
}

static int threaded(void *(*first)(void *), void *(*second)(void *), int fd) {
	pthread_t threads[2];
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	pthread_barrier_init(&both, NULL, second ? 2 : 1);
	pthread_create(&threads[0], NULL, first, (void *)(intptr_t)fd);
	if (second) pthread_create(&threads[1], NULL, second, (void *)(intptr_t)fd);
	return until_term(threads, second ? 2 : 1);
}

static int prefork(void *(*work)(void *)) {
	sigset_t term;
	int which;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	for (int i = 0; i < 2; i++)
		if (fork() == 0) {
			work((void *)(intptr_t)listener);
			_exit(0);
		}
	sigwait(&term, &which);
	if (shutdown(listener, SHUT_RDWR)) die("shutdown");
	while (wait(NULL) > 0) {}
	return 0;
}

static void on_term(int signal) {
	(void)signal;
	ended = 1;
}

static int event_loop(void) {
	struct sigaction action = { .sa_handler = on_term };
	struct epoll_event event = { .events = EPOLLIN };
	int events = epoll_create1(0);
	sigaction(SIGTERM, &action, NULL);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
	while (!ended) {
		if (epoll_wait(events, &event, 1, -1) < 1) continue;
		int connection = accept(listener, NULL, NULL);
		if (connection >= 0) answer(connection);
	}
	if (shutdown(listener, SHUT_RDWR)) die("shutdown");
	return 0;
}

static int zero(const char *address) {
	struct sockaddr_in name;
	socklen_t length = sizeof name;
	int client = bound(address, 0, SOCK_STREAM, 0);
	listener = bound(address, 0, SOCK_STREAM, 0);
	if (listen(listener, 5)) die("listen");
	getsockname(listener, (struct sockaddr *)&name, &length);
	printf("%d\n", ntohs(name.sin_port));
	fflush(stdout);
	/* The client works as one. */
	struct sockaddr_in there = at(address, ntohs(name.sin_port));
	if (connect(client, (struct sockaddr *)&there, sizeof there)) die("connect");
	close(client);
	accept_all((void *)(intptr_t)listener);
	return 0;
}

static int datagrams(const char *address, int port) {
	int fd = bound(address, port, SOCK_DGRAM, 0);
	for (;;) {
		char bytes[512];
		struct sockaddr_in from;
		socklen_t length = sizeof from;
		if (recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length) < 0) die("recvfrom");
		sendto(fd, tag, strlen(tag), 0, (struct sockaddr *)&from, length);
	}
}

static int unix_stream(const char *path, int unlinks) {
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	strncpy(name.sun_path, path, sizeof name.sun_path - 1);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (unlinks) unlink(path);
	if (bind(listener, (struct sockaddr *)&name, sizeof name)) die("bind");
	if (listen(listener, 64)) die("listen");
	accept_all((void *)(intptr_t)listener);
	return 0;
}

static void *insane(void *number) {
	unsigned seed = (unsigned)(intptr_t)number;
	for (int i = 0; i < 400; i++) {
		int fd = socket(rand_r(&seed) % 2 ? AF_INET : AF_UNIX, rand_r(&seed) % 2 ? SOCK_STREAM : SOCK_DGRAM, 0);
		unsigned char bytes[256];
		for (unsigned j = 0; j < sizeof bytes; j++) bytes[j] = rand_r(&seed);
		if (rand_r(&seed) % 2) { bytes[0] = rand_r(&seed) % 12; bytes[1] = 0; }
		long where = rand_r(&seed) % 3 ? (long)bytes : (long)((uint64_t)rand_r(&seed) << (rand_r(&seed) % 40));
		int which = rand_r(&seed) % 5 ? fd : (int)rand_r(&seed) - (1 << 30);
		/* The name of a path would leave files behind. */
		if (bytes[0] == AF_UNIX && bytes[1] == 0) bytes[2] = 0;
		syscall(SYS_bind, which, where, rand_r(&seed) % 4 ? rand_r(&seed) % 140 : (int)rand_r(&seed) * 2);
		syscall(SYS_listen, which, rand_r(&seed));
		syscall(SYS_shutdown, which, rand_r(&seed) % 5);
		if (fd >= 0) close(fd);
	}
	return NULL;
}

/* A page that nobody ever fills in: whoever reads it waits, as far as it lets itself. */
static void *withheld(void) {
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register all = { .range = { (uintptr_t)page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &all)) return NULL;
	return page;
}

static int hostile(void) {
	pthread_t threads[4];
	void *page = withheld();
	/* Dies between the question and its answer, many times over. */
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();
		if (child == 0) {
			struct sockaddr_in name = at("127.0.0.1", 0);
			for (;;) {
				int fd = socket(AF_INET, SOCK_STREAM, 0);
				bind(fd, (struct sockaddr *)&name, sizeof name);
				close(fd);
			}
		}
		usleep(1000 + 37 * i);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (page) {
		pid_t child = fork();
		if (child == 0) {
			syscall(SYS_bind, socket(AF_INET, SOCK_STREAM, 0), page, 16);
			pause();
		}
		usleep(20 * 1000);
		/* The others go on meanwhile. */
		for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, insane, (void *)(i + 1));
		for (long i = 0; i < 4; i++) pthread_join(threads[i], NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	} else {
		for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, insane, (void *)(i + 1));
		for (long i = 0; i < 4; i++) pthread_join(threads[i], NULL);
	}
	printf("done\n");
	return 0;
}

int main(int count, char **words) {
	if (count == 2 && !strcmp(words[1], "hostile")) return hostile();
	if (count != 5) return 2;
	const char *mode = words[1], *address = words[2];
	int port = atoi(words[3]);
	tag = words[4];
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(mode, "unix")) return unix_stream(address, !strcmp(words[3], "unlink"));
	if (!strcmp(mode, "udp")) return datagrams(address, port);
	if (!strcmp(mode, "zero")) return zero(address);
	if (!strcmp(mode, "workers")) {
		pthread_t thread;
		for (int i = 0; i < 3; i++) {
			int fd = bound(address, port, SOCK_STREAM, 1);
			if (listen(fd, 128)) die("listen");
			pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd);
		}
		pthread_join(thread, NULL);
		return 0;
	}
	listener = listening(address, port);
	if (!strcmp(mode, "rebind")) {
		close(listener);
		listener = listening(address, port);
	}
	if (!strcmp(mode, "thread")) return threaded(accept_all, NULL, listener);
	if (!strcmp(mode, "dup")) return threaded(accept_all, NULL, dup(listener));
	if (!strcmp(mode, "poller")) return threaded(poll_all, NULL, listener);
	if (!strcmp(mode, "busy")) return threaded(accept_all, busy_then_accept, listener);
	if (!strcmp(mode, "loop")) return event_loop();
	if (!strcmp(mode, "prefork")) return prefork(accept_all);
	if (!strcmp(mode, "preforkpoll")) return prefork(poll_all);
	if (!strcmp(mode, "fork") && fork() > 0) {
		signal(SIGTERM, SIG_IGN);
		wait(NULL);
		return 0;
	}
	accept_all((void *)(intptr_t)listener);
	return 0;
}
