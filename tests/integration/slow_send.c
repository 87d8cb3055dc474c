/* Preloaded into a service (LD_PRELOAD): after it has sent something, it goes on so late that the
 * answer is there already. So it is where other processes wait for the processor, now and then. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

static void *next_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        abort();
    return function;
}

static ssize_t late(ssize_t sent)
{
    const struct timespec delay = {.tv_nsec = 200 * 1000 * 1000};
    (void)nanosleep(&delay, NULL); /* interrupted: a little less late */
    return sent;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    ssize_t (*next)(int, const void *, size_t, int) = next_of("send");
    return late(next(fd, bytes, len, flags));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*next)(int, const struct msghdr *, int) = next_of("sendmsg");
    return late(next(fd, message, flags));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t (*next)(int, const struct iovec *, int) = next_of("writev");
    return late(next(fd, parts, count));
}
