/* Opens regular files only. */
#include "services/base/regular_file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

FILE *regular_file_open(const char *path, struct error *err)
{
    struct stat status = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block the start */
    FILE *file = NULL;
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        file = fdopen(fd, "r");
    if (file != NULL)
        return file;
    if (fd >= 0 && !S_ISREG(status.st_mode))
        error_set(err, "not a file");
    else
        error_set(err, "cannot read the file: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}
