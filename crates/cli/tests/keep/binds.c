/* Binds a client's socket again and again, in four threads.
 *
 *   binds FILE      the count of each thread is a number of eight bytes in FILE
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

static int file;

static void *bind_all(void *number) {
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (uint64_t count = 1;; count++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(fd, (struct sockaddr *)&name, sizeof name)) _exit(1);
		close(fd);
		if (pwrite(file, &count, sizeof count, (intptr_t)number * 8) != sizeof count) _exit(2);
	}
}

int main(int argc, char **argv) {
	pthread_t threads[4];
	file = open(argc > 1 ? argv[1] : "counts", O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, bind_all, (void *)i);
	pthread_join(threads[0], NULL);
	return 0;
}
