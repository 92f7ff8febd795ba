/* Records what a process writes below a folder, with every sync, so that a test can build the disk as a power failure
 * at any point would leave it. For LD_PRELOAD.
 *
 * TRACE_FILE is appended to, TRACE_ROOT is the folder, an absolute path without links. A record is a line of fields
 * separated by one space, with a path last, and then as many bytes as the line says:
 *
 *   w INODE OFFSET LENGTH           bytes were written (recorded after the call)
 *   t INODE LENGTH                  a file was cut or extended (after the call)
 *   b INODE NUMBER                  a sync begins
 *   e INODE NUMBER                  the sync with this number has succeeded
 *   c INODE PATH                    a file was created (after the call)
 *   d INODE PATH                    a folder was created (after the call)
 *   u PATH                          a name was removed (after the call)
 *   r LENGTH-OF-FIRST PATH PATH     a name was replaced (after the call)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_ulong syncs;

/* Appends one record by one call, so that records of threads do not mix. */
static void record(const char *head, const void *bytes, size_t length)
{
    const char *file = getenv("TRACE_FILE");
    size_t start = strlen(head);
    int error = errno, trace;
    char *whole;

    if (!file || (trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CLOEXEC)) < 0)
        abort();
    if (!(whole = malloc(start + length)))
        abort();
    memcpy(whole, head, start);
    if (length)
        memcpy(whole + start, bytes, length);
    if (syscall(SYS_write, trace, whole, start + length) != (long)(start + length))
        abort();
    free(whole);
    syscall(SYS_close, trace);
    errno = error;
}

static int is_below(const char *path)
{
    const char *root = getenv("TRACE_ROOT");
    size_t length = root ? strlen(root) : 0;

    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* Returns the absolute form of a path of this process, in a buffer of PATH_MAX. */
static const char *absolute(const char *path, char *buffer)
{
    size_t length;

    if (*path == '/')
        return path;
    if (!getcwd(buffer, PATH_MAX))
        return path;
    length = strlen(buffer);
    snprintf(buffer + length, PATH_MAX - length, "/%s", path);
    return buffer;
}

/* Returns the inode of a descriptor of a file or folder below the root; 0 otherwise. */
static unsigned long inode_of(int descriptor)
{
    char link[32], name[PATH_MAX];
    struct stat status;
    int error = errno;
    ssize_t length;
    unsigned long inode = 0;

    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, name, sizeof name - 1);
    if (length > 0) {
        name[length] = 0;
        if (is_below(name) && !fstat(descriptor, &status)
            && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
            inode = status.st_ino;
    }
    errno = error;
    return inode;
}

static void wrote(int descriptor, const void *bytes, ssize_t length, off_t at)
{
    unsigned long inode;
    char head[96];

    if (length <= 0 || !(inode = inode_of(descriptor)))
        return;
    if (at < 0)
        at = lseek(descriptor, 0, SEEK_CUR) - length;
    snprintf(head, sizeof head, "w %lu %ld %zd\n", inode, (long)at, length);
    record(head, bytes, length);
}

ssize_t write(int descriptor, const void *bytes, size_t length)
{
    ssize_t result = syscall(SYS_write, descriptor, bytes, length);

    wrote(descriptor, bytes, result, -1);
    return result;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t at)
{
    ssize_t result = syscall(SYS_pwrite64, descriptor, bytes, length, at);

    wrote(descriptor, bytes, result, at);
    return result;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t at)
{
    return pwrite(descriptor, bytes, length, at);
}

int ftruncate(int descriptor, off_t length)
{
    int result = syscall(SYS_ftruncate, descriptor, length);
    unsigned long inode;
    char head[64];

    if (!result && (inode = inode_of(descriptor))) {
        snprintf(head, sizeof head, "t %lu %ld\n", inode, (long)length);
        record(head, NULL, 0);
    }
    return result;
}

int ftruncate64(int descriptor, off64_t length)
{
    return ftruncate(descriptor, length);
}

static int sync_by(long call, int descriptor)
{
    unsigned long inode = inode_of(descriptor), number = atomic_fetch_add(&syncs, 1) * 1000000 + getpid();
    char head[64];
    int result;

    if (inode) {
        snprintf(head, sizeof head, "b %lu %lu\n", inode, number);
        record(head, NULL, 0);
    }
    result = syscall(call, descriptor);
    if (inode && !result) {
        snprintf(head, sizeof head, "e %lu %lu\n", inode, number);
        record(head, NULL, 0);
    }
    return result;
}

int fsync(int descriptor)
{
    return sync_by(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    return sync_by(SYS_fdatasync, descriptor);
}

static int open_by(const char *path, int flags, mode_t mode)
{
    char buffer[PATH_MAX], head[PATH_MAX + 64];
    const char *whole = absolute(path, buffer);
    struct stat status;
    int is_new = 0, result, error = errno;

    if ((flags & O_CREAT) && is_below(whole))
        is_new = stat(whole, &status) != 0;
    errno = error;
    result = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (result >= 0 && is_new && !fstat(result, &status)) {
        snprintf(head, sizeof head, "c %lu %s\n", (unsigned long)status.st_ino, whole);
        record(head, NULL, 0);
    } else if (result >= 0 && (flags & O_TRUNC) && is_below(whole) && !fstat(result, &status)) {
        snprintf(head, sizeof head, "t %lu 0\n", (unsigned long)status.st_ino);
        record(head, NULL, 0);
    }
    return result;
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                    \
    int name(const char *path, int flags, ...)        \
    {                                                 \
        va_list rest;                                 \
        mode_t mode;                                  \
                                                      \
        va_start(rest, flags);                        \
        mode = mode_of(flags, rest);                  \
        va_end(rest);                                 \
        return open_by(path, flags, mode);            \
    }

OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode)
{
    char buffer[PATH_MAX], head[PATH_MAX + 64];
    const char *whole = absolute(path, buffer);
    int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    struct stat status;

    if (!result && is_below(whole) && !stat(whole, &status)) {
        snprintf(head, sizeof head, "d %lu %s\n", (unsigned long)status.st_ino, whole);
        record(head, NULL, 0);
    }
    return result;
}

int unlink(const char *path)
{
    char buffer[PATH_MAX], head[PATH_MAX + 64];
    const char *whole = absolute(path, buffer);
    int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);

    if (!result && is_below(whole)) {
        snprintf(head, sizeof head, "u %s\n", whole);
        record(head, NULL, 0);
    }
    return result;
}

int rename(const char *from, const char *to)
{
    char first[PATH_MAX], second[PATH_MAX], head[2 * PATH_MAX + 64];
    const char *whole = absolute(from, first), *target = absolute(to, second);
    int result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);

    if (!result && is_below(target)) {
        snprintf(head, sizeof head, "r %zu %s %s\n", strlen(whole), whole, target);
        record(head, NULL, 0);
    }
    return result;
}
