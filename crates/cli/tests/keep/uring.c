/* A server that binds and listens through an io_uring, which no seccomp filter sees: uring ADDR PORT TAG
 * Exits with 77 where the kernel has no such operations (before Linux 6.11). */
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BIND = 56, LISTEN = 57 };

static int ring;
static char *submissions, *completions;
static struct io_uring_sqe *entries;
static struct io_uring_params how;

static uint32_t *field(char *base, uint32_t at) {
	return (uint32_t *)(base + at);
}

/* Submits one operation and waits for its result. */
static int32_t carry_out(struct io_uring_sqe wanted) {
	uint32_t tail = *field(submissions, how.sq_off.tail);
	uint32_t at = tail & *field(submissions, how.sq_off.ring_mask);
	entries[at] = wanted;
	field(submissions, how.sq_off.array)[at] = at;
	__atomic_store_n(field(submissions, how.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
	uint32_t head = *field(completions, how.cq_off.head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(completions + how.cq_off.cqes);
	int32_t result = done[head & *field(completions, how.cq_off.ring_mask)].res;
	__atomic_store_n(field(completions, how.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int count, char **words) {
	if (count != 4) return 2;
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(atoi(words[2])) };
	inet_pton(AF_INET, words[1], &name.sin_addr);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	ring = syscall(SYS_io_uring_setup, 4, &how);
	if (ring < 0) return 77;
	size_t size = how.sq_off.array + how.sq_entries * sizeof(uint32_t);
	size_t other = how.cq_off.cqes + how.cq_entries * sizeof(struct io_uring_cqe);
	int shared = PROT_READ | PROT_WRITE;
	submissions = mmap(NULL, size, shared, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	completions = mmap(NULL, other, shared, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, how.sq_entries * sizeof *entries, shared, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	struct io_uring_sqe bind = { .opcode = BIND, .fd = listener, .addr = (uintptr_t)&name, .addr2 = sizeof name };
	struct io_uring_sqe listen = { .opcode = LISTEN, .fd = listener, .len = 64 };
	int32_t bound = carry_out(bind);
	if (bound == -22) return 77;
	if (bound || carry_out(listen)) {
		fprintf(stderr, "bind: %s\n", strerror(-bound));
		return 3;
	}
	for (;;) {
		char bytes[512];
		int connection = accept(listener, NULL, NULL);
		if (connection < 0) continue;
		if (read(connection, bytes, sizeof bytes) >= 0) (void)!write(connection, words[3], strlen(words[3]));
		close(connection);
	}
}
