/* Injects disk faults into a server started with LD_PRELOAD.
 *
 * FAILING_DISK names a directory of plans. The name of a plan is the fault and the ending of file names,
 * such as full.db-wal; its content is the number of the first faulty call. Every call that it applies to
 * appends a dot after that number, by which the test sees that the plan was applied.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns how many calls on the descriptor's file the fault has hit before, or -1 if it does not apply. */
static long strikes(const char *fault, int descriptor)
{
    const char *plans = getenv("FAILING_DISK");
    char link[32], name[PATH_MAX], path[PATH_MAX], text[32];
    int plan, error = errno;
    char *end, *points;
    long first, before = -1;
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, name, sizeof name - 1);
    name[length < 0 ? 0 : length] = 0;
    end = strrchr(name, '.');
    if (plans && end && snprintf(path, sizeof path, "%s/%s%s", plans, fault, end) < (int)sizeof path
        && (plan = open(path, O_RDWR | O_APPEND | O_CLOEXEC)) >= 0) {
        length = pread(plan, text, sizeof text - 1, 0);
        text[length < 0 ? 0 : length] = 0;
        first = strtol(text, &points, 10);
        syscall(SYS_write, plan, ".", 1);
        before = lseek(plan, 0, SEEK_END) - (points - text) - first;
        close(plan);
    }
    errno = error;
    return before;
}

/* A full disk stays full. Writes are partial before they fail, so that a line of a journal is
 * torn. */
static int is_full(int descriptor, size_t *length)
{
    if (strikes("full", descriptor) < 0)
        return 0;
    if (*length > 16) {
        *length /= 2;
        return 0;
    }
    errno = ENOSPC;
    return 1;
}

ssize_t write(int descriptor, const void *bytes, size_t length)
{
    return is_full(descriptor, &length) ? -1 : syscall(SYS_write, descriptor, bytes, length);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t at)
{
    return is_full(descriptor, &length) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, length, at);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t at)
{
    return is_full(descriptor, &length) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, length, at);
}

static int sync_by(long call, int descriptor)
{
    int result;

    /* A disk that does not answer, until the plan is removed. */
    while (strikes("stuck", descriptor) >= 0)
        usleep(10000);
    /* Once: the kernel reports lost data only once, and the next sync seems to succeed. */
    if (strikes("broken", descriptor) == 0) {
        errno = EIO;
        return -1;
    }
    if (strikes("killed-before", descriptor) == 0)
        kill(getpid(), SIGKILL);
    result = syscall(call, descriptor);
    if (strikes("killed-after", descriptor) == 0)
        kill(getpid(), SIGKILL);
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
