/*
 * What the host side does to the kernel for a volume, system call for system call, with nothing around it. The
 * sequence is that of src/host/volume as strace(1) shows it: build a tmpfs out of sight, fill it, attach it, swap
 * its contents, zero and remove all of it, unmount.
 *
 *   volumes cycle FOLDER COUNT FILES BYTES    for each volume: all of that
 *   volumes remove FOLDER COUNT FILES BYTES   makes all of them first, then only their end is timed
 *
 * Prints how many nanoseconds it took. FOLDER is taken for kubelet's; what lies below it is made here.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of linux/mount.h, which does not go together with sys/mount.h everywhere. */
enum { OPEN_TREE = 428, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR = 442 };
enum { SET_FLAG = 0, SET_STRING = 1, CMD_CREATE = 6 };
enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8 };
enum { CLONE_TREE = 1, MOVE_EMPTY_PATHS = 0x4 | 0x40, NOFOLLOW_UMOUNT = 8 };

enum { STEPS = 5, PATH_BYTES = 256 };

struct attributes {
  uint64_t set, clear, propagation, userns;
};

/* kubelet's folder and the folders down to the one that the target lies in. */
struct parent {
  int fds[STEPS + 1];
};

struct shape {
  int files;
  size_t bytes;
};

static int must(long result, const char *what) {
  if (result < 0) err(1, "%s", what);
  return (int)result;
}

static void path_in(char *path, int fd, const char *name) {
  snprintf(path, PATH_BYTES, "/proc/self/fd/%d/%s", fd, name);
}

static int open_folder(const char *path) {
  return must(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), path);
}

/* As readdir of a whole folder does it. */
static void list(const char *path) {
  char entries[32768];
  struct stat stat;
  int fd = must(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_DIRECTORY), path);
  must(fstat(fd, &stat), "fstat");
  while (must(syscall(SYS_getdents64, fd, entries, sizeof entries), "getdents64") > 0) continue;
  close(fd);
}

static void list_fd(int fd) {
  char path[PATH_BYTES];
  path_in(path, fd, ".");
  list(path);
}

static void look_at_link(int root, const char *name) {
  char path[PATH_BYTES], target[4096];
  path_in(path, root, name);
  if (readlink(path, target, sizeof target) < 0 && errno != ENOENT) err(1, "readlink");
}

static void read_mount_id(int fd) {
  char path[64], text[8192];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = must(open(path, O_RDONLY | O_CLOEXEC), path);
  while (must(read(info, text, sizeof text), "read fdinfo") > 0) continue;
  close(info);
}

static void identify(int fd) {
  struct stat stat;
  struct statfs system;
  must(fstat(fd, &stat), "fstat");
  must(fstatfs(fd, &system), "fstatfs");
}

static void set_attributes(int mount, uint64_t set, uint64_t clear) {
  struct attributes attributes = {.set = set, .clear = clear};
  must(syscall(MOUNT_SETATTR, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes), "mount_setattr");
}

static struct parent open_parent(const char *folder, const char *uid) {
  const char *steps[STEPS] = {"pods", uid, "volumes", "kubernetes.io~csi", "db"};
  struct parent parent;
  char path[PATH_BYTES];
  parent.fds[0] = must(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), folder);
  for (int step = 0; step < STEPS; step += 1) {
    path_in(path, parent.fds[step], steps[step]);
    parent.fds[step + 1] = open_folder(path);
  }
  return parent;
}

static void close_parent(struct parent *parent) {
  for (int step = STEPS; step >= 0; step -= 1) close(parent->fds[step]);
}

static int create_tmpfs(const char *source) {
  int context = must(syscall(FSOPEN, "tmpfs", 1), "fsopen");
  const char *options[][2] = {
      {"source", source}, {"size", "29360128"}, {"nr_inodes", "16384"}, {"mode", "1777"}};
  for (size_t n = 0; n < sizeof options / sizeof *options; n += 1)
    must(syscall(FSCONFIG, context, SET_STRING, options[n][0], options[n][1], 0), options[n][0]);
  /* Linux before 6.4 has no noswap, and the host side does not ask such a one for it. */
  if (syscall(FSCONFIG, context, SET_FLAG, "noswap", NULL, 0) < 0 && errno != EINVAL) err(1, "noswap");
  must(syscall(FSCONFIG, context, CMD_CREATE, NULL, NULL, 0), "create");
  int mount = must(syscall(FSMOUNT, context, 1, ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC), "fsmount");
  close(context);
  return mount;
}

static void write_files(int folder, struct shape shape, const char *bytes) {
  char path[PATH_BYTES], name[16];
  for (int file = 0; file < shape.files; file += 1) {
    snprintf(name, sizeof name, "file-%d", file);
    path_in(path, folder, name);
    int fd = must(open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), path);
    must(write(fd, bytes, shape.bytes), "write");
    must(fchown(fd, 0, 0), "fchown");
    must(fchmod(fd, 0644), "fchmod");
    close(fd);
  }
}

static void link_to(int root, const char *name, const char *target) {
  char path[PATH_BYTES];
  path_in(path, root, name);
  must(symlink(target, path), "symlink");
  must(lchown(path, 0, 0), "lchown");
}

static void make_links(int root, int files) {
  char name[16], target[32];
  for (int file = 0; file < files; file += 1) {
    snprintf(name, sizeof name, "file-%d", file);
    snprintf(target, sizeof target, "..data/%s", name);
    link_to(root, name, target);
  }
}

static void look_at_links(int root, int files) {
  char name[16];
  for (int file = 0; file < files; file += 1) {
    snprintf(name, sizeof name, "file-%d", file);
    look_at_link(root, name);
  }
}

static void touch_links(int root, int files) {
  char path[PATH_BYTES], name[16];
  struct timespec times[2];
  clock_gettime(CLOCK_REALTIME, &times[0]);
  times[1] = times[0];
  for (int file = 0; file < files; file += 1) {
    snprintf(name, sizeof name, "file-%d", file);
    path_in(path, root, name);
    must(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), "utimensat");
  }
}

static const char *GENERATIONS[] = {
    "..2026_11_21_07_00_00.1000000000",
    "..2026_11_21_07_00_01.2000000000",
};

static void make_generation(int root, int generation, struct shape shape, const char *bytes) {
  char path[PATH_BYTES];
  path_in(path, root, GENERATIONS[generation]);
  must(mkdir(path, 0700), "mkdir");
  int folder = open_folder(path);
  write_files(folder, shape, bytes);
  must(fchown(folder, 0, 0), "fchown");
  must(fchmod(folder, 0755), "fchmod");
  close(folder);
}

/* In a root that nobody sees yet. */
static void write_first(int root, struct shape shape, const char *bytes) {
  make_generation(root, 0, shape, bytes);
  make_links(root, shape.files);
  link_to(root, "..data", GENERATIONS[0]);
}

static void write_next(int root, struct shape shape, const char *bytes) {
  char path[PATH_BYTES], final[PATH_BYTES];
  struct stat stat;
  list_fd(root);
  path_in(path, root, GENERATIONS[0]);
  must(lstat(path, &stat), "lstat");
  look_at_link(root, "..data");
  look_at_link(root, "..data");
  make_generation(root, 1, shape, bytes);
  look_at_links(root, shape.files);
  link_to(root, "..data_tmp", GENERATIONS[1]);
  path_in(path, root, "..data_tmp");
  path_in(final, root, "..data");
  must(rename(path, final), "rename");
  list_fd(root);
  list_fd(root);
  touch_links(root, shape.files);
}

static void create_volume(const char *folder, const char *uid, struct shape shape, const char *bytes) {
  char target[PATH_BYTES], source[128];
  struct statfs system;
  struct parent parent = open_parent(folder, uid);
  snprintf(source, sizeof source, "latchkey:1:csi-%s", uid);
  int mount = create_tmpfs(source);
  write_first(mount, shape, bytes);
  set_attributes(mount, ATTR_RDONLY, 0);
  path_in(target, parent.fds[STEPS], "mount");
  must(mkdir(target, 0750), "mkdir target");
  int fd = open_folder(target);
  read_mount_id(fd);
  read_mount_id(parent.fds[STEPS]);
  list_fd(fd);
  must(syscall(MOVE_MOUNT, mount, "", fd, "", MOVE_EMPTY_PATHS), "move_mount");
  close(fd);
  identify(mount);
  path_in(target, mount, ".");
  must(statfs(target, &system), "statfs");
  close(mount);
  close_parent(&parent);
}

/* A view that may be written through. */
static int clone_writable(int fd) {
  int clone = must(
      syscall(OPEN_TREE, fd, "", CLONE_TREE | O_CLOEXEC | AT_EMPTY_PATH), "open_tree");
  set_attributes(clone, 0, ATTR_RDONLY);
  return clone;
}

static void swap_volume(const char *folder, const char *uid, struct shape shape, const char *bytes) {
  char target[PATH_BYTES];
  struct parent parent = open_parent(folder, uid);
  path_in(target, parent.fds[STEPS], "mount");
  int fd = open_folder(target);
  identify(fd);
  int clone = clone_writable(fd);
  write_next(clone, shape, bytes);
  close(clone);
  close(fd);
  close_parent(&parent);
}

static void zero_files(int root, const char *generation, struct shape shape, const char *zeros) {
  char path[PATH_BYTES], name[16];
  path_in(path, root, generation);
  int folder = open_folder(path);
  list_fd(folder);
  for (int file = 0; file < shape.files; file += 1) {
    struct stat stat;
    snprintf(name, sizeof name, "file-%d", file);
    path_in(path, folder, name);
    int fd = must(open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC), path);
    must(fstat(fd, &stat), "fstat");
    must(pwrite(fd, zeros, shape.bytes, 0), "pwrite");
    close(fd);
  }
  close(folder);
}

static void remove_generation(int root, const char *generation, int files) {
  char path[PATH_BYTES], name[16], entries[32768];
  struct stat stat;
  path_in(path, root, generation);
  must(lstat(path, &stat), "lstat");
  int folder = open_folder(path);
  must(fstat(folder, &stat), "fstat");
  fcntl(folder, F_GETFL);
  fcntl(folder, F_SETFD, FD_CLOEXEC);
  must(syscall(SYS_getdents64, folder, entries, sizeof entries), "getdents64");
  for (int file = files - 1; file >= 0; file -= 1) {
    snprintf(name, sizeof name, "file-%d", file);
    must(unlinkat(folder, name, 0), "unlinkat");
  }
  must(syscall(SYS_getdents64, folder, entries, sizeof entries), "getdents64");
  close(folder);
  if (unlink(path) == 0) errx(1, "%s was no folder", path);
  must(rmdir(path), "rmdir");
}

static void remove_link(int root, const char *name) {
  char path[PATH_BYTES];
  struct stat stat;
  path_in(path, root, name);
  must(lstat(path, &stat), "lstat");
  if (open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) >= 0) errx(1, "%s is no link", path);
  must(unlink(path), "unlink");
}

static void empty_out(int mount, int generations, struct shape shape, const char *zeros) {
  char path[PATH_BYTES], name[16];
  path_in(path, mount, ".");
  int root = open_folder(path);
  list_fd(root);
  for (int n = 0; n < generations; n += 1) zero_files(root, GENERATIONS[n], shape, zeros);
  close(root);
  list_fd(mount);
  for (int n = 0; n < generations; n += 1) remove_generation(mount, GENERATIONS[n], shape.files);
  remove_link(mount, "..data");
  for (int file = 0; file < shape.files; file += 1) {
    snprintf(name, sizeof name, "file-%d", file);
    remove_link(mount, name);
  }
}

static void remove_volume(
    const char *folder, const char *uid, int generations, struct shape shape, const char *zeros) {
  char target[PATH_BYTES];
  struct stat stat;
  struct parent parent = open_parent(folder, uid);
  path_in(target, parent.fds[STEPS], "mount");
  must(lstat(target, &stat), "lstat");
  int fd = open_folder(target);
  read_mount_id(fd);
  read_mount_id(parent.fds[STEPS]);
  identify(fd);
  set_attributes(fd, 0, ATTR_RDONLY);
  empty_out(fd, generations, shape, zeros);
  close(fd);
  must(umount2(target, NOFOLLOW_UMOUNT), "umount2");
  must(lstat(target, &stat), "lstat");
  fd = open_folder(target);
  read_mount_id(fd);
  read_mount_id(parent.fds[STEPS]);
  close(fd);
  must(rmdir(target), "rmdir");
  close_parent(&parent);
}

static void make_folders(const char *folder, const char *uid) {
  const char *steps[] = {"pods", uid, "volumes", "kubernetes.io~csi", "db"};
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s", folder);
  for (size_t step = 0; step < sizeof steps / sizeof *steps; step += 1) {
    length += snprintf(path + length, sizeof path - (size_t)length, "/%s", steps[step]);
    if (mkdir(path, 0750) < 0 && errno != EEXIST) err(1, "%s", path);
  }
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void name_pod(char *uid, int index) {
  snprintf(uid, 37, "00000000-0000-4000-9000-%012d", index);
}

int main(int argc, char **argv) {
  if (argc != 6) errx(2, "usage: volumes cycle|remove FOLDER COUNT FILES BYTES");
  const char *folder = argv[2];
  int is_cycle = strcmp(argv[1], "cycle") == 0;
  int count = atoi(argv[3]);
  struct shape shape = {.files = atoi(argv[4]), .bytes = (size_t)atol(argv[5])};
  char *bytes = malloc(shape.bytes), *zeros = calloc(1, shape.bytes), uid[37];
  if (bytes == NULL || zeros == NULL) errx(1, "no memory");
  memset(bytes, 'x', shape.bytes);
  for (int index = 0; index < count; index += 1) {
    name_pod(uid, index);
    make_folders(folder, uid);
    if (!is_cycle) create_volume(folder, uid, shape, bytes);
  }
  int64_t began = now_ns();
  for (int index = 0; index < count; index += 1) {
    name_pod(uid, index);
    if (is_cycle) {
      create_volume(folder, uid, shape, bytes);
      swap_volume(folder, uid, shape, bytes);
    }
    remove_volume(folder, uid, is_cycle ? 2 : 1, shape, zeros);
  }
  printf("%lld\n", (long long)(now_ns() - began));
  return 0;
}
