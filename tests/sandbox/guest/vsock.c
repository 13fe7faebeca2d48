// vsock serve PORT: takes one connection and gives back all that comes. vsock connect CID PORT: sends its input, prints the answer.
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int copy(int from, int to) {
  char text[4096];
  ssize_t count;
  while ((count = read(from, text, sizeof text)) > 0) {
    for (ssize_t done = 0; done < count;) {
      const ssize_t written = write(to, text + done, (size_t)(count - done));
      if (written <= 0) {
        perror("write");
        return 1;
      }
      done += written;
    }
  }
  if (count < 0) {
    perror("read");
  }
  return count < 0;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: vsock serve PORT | vsock connect CID PORT\n");
    return 2;
  }
  struct sockaddr_vm address = {.svm_family = AF_VSOCK};
  address.svm_cid = argc == 3 ? VMADDR_CID_ANY : (unsigned)strtoul(argv[2], NULL, 0);
  address.svm_port = (unsigned)strtoul(argv[argc - 1], NULL, 0);
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (argc == 3) {
    if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 1) != 0) {
      perror("listen");
      return 1;
    }
    puts("LISTENS");
    fflush(stdout);
    const int peer = accept(fd, NULL, NULL);
    if (peer < 0) {
      perror("accept");
      return 1;
    }
    return copy(peer, peer);
  }
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) {
    perror("connect");
    return 1;
  }
  if (copy(0, fd) != 0) {
    return 1;
  }
  shutdown(fd, SHUT_WR);
  return copy(fd, 1);
}
