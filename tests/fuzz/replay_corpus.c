/* Runs a fuzz target over every file of a folder: what libFuzzer's -runs=0 does, for any compiler.
 */
#include "tests/fuzz/fuzz.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void replay(int folder, const char *name)
{
    struct stat status;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0 && fstat(file, &status) == 0);
    if (S_ISREG(status.st_mode)) {
        size_t size = (size_t)status.st_size;
        uint8_t *data = malloc(size == 0 ? 1 : size);
        REQUIRE(read(file, data, size) == (ssize_t)size);
        (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    (void)close(file);
}

int main(int argc, char **argv)
{
    size_t files = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    REQUIRE(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL; files++)
        replay(dirfd(folder), entry->d_name);
    (void)closedir(folder);
    REQUIRE(files > 2); /* more than . and .. */
    return 0;
}
