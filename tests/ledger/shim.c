/* Records what a process asks of the disk, so that a test can replay it up to a simulated power cut; and lets calls fail.
 *
 * LD_PRELOAD this. SHIM_PREFIX: only paths below it are recorded. SHIM_LOG: where to. Each operation is one text line
 * "OP OFFSET LENGTH PATH", for writes and acknowledgements (writes to standard output) followed by LENGTH bytes.
 * SHIM_FAIL: "sync K" lets the K-th sync fail with EIO, "write K" the K-th write with ENOSPC, counted from 1.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int log_fd = -1;
static long syncs, writes;

static void put(const void *data, size_t n) {
    ssize_t (*real)(int, const void *, size_t) = REAL(write);
    const char *at = data;
    while (n > 0) {
        ssize_t done = real(log_fd, at, n);
        if (done <= 0) _exit(99);
        at += done;
        n -= done;
    }
}

static int watched(const char *path) {
    const char *prefix = getenv("SHIM_PREFIX");
    return prefix && path && strncmp(path, prefix, strlen(prefix)) == 0;
}

static void note(const char *op, long long offset, size_t n, const char *path, const void *data) {
    char line[5000];
    if (log_fd < 0) {
        int (*real)(const char *, int, ...) = REAL(open);
        log_fd = real(getenv("SHIM_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (log_fd < 0) _exit(98);
    }
    int used = snprintf(line, sizeof line, "%s %lld %zu %s\n", op, offset, n, path);
    put(line, used);
    if (data) put(data, n);
}

static const char *path_of(int fd) {
    static char path[4100];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    return watched(path) ? path : NULL;
}

static int fails(const char *what, long *count) {
    const char *plan = getenv("SHIM_FAIL");
    size_t n = strlen(what);
    *count += 1;
    return plan && strncmp(plan, what, n) == 0 && *count == atol(plan + n);
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    int fresh = (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = real(path, flags, mode);
    if (fd >= 0 && watched(path)) {
        if (fresh) note("create", 0, 0, path, NULL);
        else if (flags & O_TRUNC) note("truncate", 0, 0, path, NULL);
    }
    return fd;
}

#define OPEN(name)                                       \
    int name(const char *path, int flags, ...) {         \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        mode_t mode = flags & O_CREAT ? va_arg(rest, int) : 0; \
        va_end(rest);                                    \
        return opened(REAL(name), path, flags, mode);    \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t n) {
    ssize_t (*real)(int, const void *, size_t) = REAL(write);
    const char *path = path_of(fd);
    if (path && fails("write ", &writes)) { errno = ENOSPC; return -1; }
    off_t at = path ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = real(fd, data, n);
    if (done > 0 && path) note("write", at, done, path, data);
    if (done > 0 && fd == 1) note("ack", 0, done, "-", data);
    return done;
}

#define PWRITE(name, type)                                          \
    ssize_t name(int fd, const void *data, size_t n, type at) {     \
        const char *path = path_of(fd);                             \
        if (path && fails("write ", &writes)) { errno = ENOSPC; return -1; } \
        ssize_t done = REAL(name)(fd, data, n, at);                 \
        if (done > 0 && path) note("write", at, done, path, data);  \
        return done;                                                \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, type)                                        \
    int name(int fd, type size) {                                   \
        const char *path = path_of(fd);                             \
        int result = REAL(name)(fd, size);                          \
        if (result == 0 && path) note("truncate", size, 0, path, NULL); \
        return result;                                              \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                  \
    int name(int fd) {                                              \
        const char *path = path_of(fd);                             \
        if (path && fails("sync ", &syncs)) { errno = EIO; return -1; } \
        int result = REAL(name)(fd);                                \
        if (result == 0 && path) note("sync", 0, 0, path, NULL);    \
        return result;                                              \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    int result = REAL(rename)(from, to);
    if (result == 0 && watched(to)) note("rename", 0, strlen(to), from, to);
    return result;
}

int unlink(const char *path) {
    int result = REAL(unlink)(path);
    if (result == 0 && watched(path)) note("unlink", 0, 0, path, NULL);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    int result = REAL(mkdir)(path, mode);
    if (result == 0 && watched(path)) note("mkdir", 0, 0, path, NULL);
    return result;
}
