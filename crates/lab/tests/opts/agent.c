/* A foreign program that does what it is told on standard input, one call a line, and answers with the kernel's words:
 * a number, bytes in hexadecimal, or "errno N". Statically linked: nothing can be preloaded into it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void answer(int result) {
  if (result < 0) printf("errno %d\n", errno);
  else printf("%d\n", result);
}

static int loopback(int fd, int family) {
  struct { union { struct sockaddr_in four; struct sockaddr_in6 six; } a; } to;
  memset(&to, 0, sizeof to);
  if (family == AF_INET) {
    to.a.four.sin_family = AF_INET;
    to.a.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind(fd, (struct sockaddr *)&to, sizeof to.a.four);
  }
  to.a.six.sin6_family = AF_INET6;
  return bind(fd, (struct sockaddr *)&to, sizeof to.a.six);
}

int main(void) {
  char line[20000], call[16];
  static unsigned char value[8192];
  while (fgets(line, sizeof line, stdin)) {
    int a = 0, b = 0, c = 0, used = 0;
    if (sscanf(line, "%15s %d %d %d %n", call, &a, &b, &c, &used) < 2) return 2;
    if (!strcmp(call, "socket")) answer(socket(a, b, c));
    else if (!strcmp(call, "bind")) answer(loopback(a, b));
    else if (!strcmp(call, "close")) answer(close(a));
    else if (!strcmp(call, "badset")) answer(setsockopt(a, b, c, (void *)1, 4));
    else if (!strcmp(call, "set")) {
      unsigned byte;
      size_t length = 0;
      for (char *at = line + used; length < sizeof value && sscanf(at, "%2x", &byte) == 1; at += 2) value[length++] = byte;
      answer(setsockopt(a, b, c, value, length));
    } else if (!strcmp(call, "get")) {
      socklen_t length = sizeof value;
      if (getsockopt(a, b, c, value, &length) < 0) answer(-1);
      else {
        for (socklen_t i = 0; i < length && i < sizeof value; i++) printf("%02x", value[i]);
        printf("\n");
      }
    } else return 2;
    fflush(stdout);
  }
  return 0;
}
