/* Binds again and again, in four threads.
 *
 *   binds FILE        a client's socket; the count of each thread is a number of eight bytes in FILE
 *   binds FILE ADDR   a listener, each thread on a port of its own, from 8000 on; behind the counts are those of the
 *                     binds that were refused
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 4

static int file;
static const char *address;

static void note(intptr_t place, uint64_t count) {
	if (pwrite(file, &count, sizeof count, place * 8) != sizeof count) _exit(2);
}

static void *bind_all(void *number) {
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	intptr_t thread = (intptr_t)number;
	if (address) {
		inet_pton(AF_INET, address, &name.sin_addr);
		name.sin_port = htons(8000 + thread);
	}
	for (uint64_t count = 1, refused = 0;; count++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int fails = bind(fd, (struct sockaddr *)&name, sizeof name);
		if (fails && !address) _exit(1);
		if (address && (fails || listen(fd, 5))) note(THREADS + thread, ++refused);
		close(fd);
		note(thread, count);
	}
}

int main(int argc, char **argv) {
	pthread_t threads[THREADS];
	file = open(argc > 1 ? argv[1] : "counts", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (argc > 2) address = argv[2];
	for (intptr_t i = 0; i < THREADS; i++) note(THREADS + i, 0);
	for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, bind_all, (void *)i);
	pthread_join(threads[0], NULL);
	return 0;
}
