// fdformat DEVICE TRACK HEAD: has Linux's floppy driver format one side of one track.
#include <fcntl.h>
#include <linux/fd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: fdformat DEVICE TRACK HEAD\n");
    return 2;
  }
  const int fd = open(argv[1], O_RDWR);
  struct format_descr track = {.device = 0, .head = (unsigned)atoi(argv[3]), .track = (unsigned)atoi(argv[2])};
  if (fd < 0 || ioctl(fd, FDFMTBEG) != 0 || ioctl(fd, FDFMTTRK, &track) != 0 || ioctl(fd, FDFMTEND) != 0) {
    perror(argv[1]);
    return 1;
  }
  return 0;
}
