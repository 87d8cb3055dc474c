/* Reads the limits where the kernel shows them: setrlimit(2), sysconf(3), and the control group's
 * files (cgroups(7)) of the process's group and of those above it. */
#include "services/base/limits.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define PROGRAM_ADDRESS_BYTES (128 * MIB) /* the program, its libraries, the first thread */
#define THREAD_ADDRESS_BYTES (72 * MIB)   /* an arena of glibc's malloc, and a stack */

uint64_t limits_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* on failure the old limit holds, read next */
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/* The number in a file, or UINT64_MAX when there is none: "max" is no limit. */
static uint64_t number_in(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the group `path` and of each above it, up to the root. In a container the root is the
 * container's own group, although the path is that on the machine. */
static uint64_t group_limit(const char *mount, char *path, const char *file)
{
    uint64_t limit = UINT64_MAX;
    for (char *end = path + strlen(path); end != NULL; end = strrchr(path, '/')) {
        char name[PATH_MAX];
        *end = '\0';
        if (snprintf(name, sizeof name, "%s%s/%s", mount, path, file) < (int)sizeof name)
            limit = smaller(limit, number_in(name));
    }
    return limit;
}

/* A line is "0::/path" (version 2), or "4:memory:/path" (version 1). */
static uint64_t control_group_limit(void)
{
    char line[PATH_MAX];
    uint64_t limit = UINT64_MAX;
    FILE *groups = fopen("/proc/self/cgroup", "re");
    while (groups != NULL && fgets(line, sizeof line, groups) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *path;
        if (controllers == NULL || (path = strchr(++controllers, ':')) == NULL)
            continue;
        *path++ = '\0';
        if (controllers[0] == '\0')
            limit = smaller(limit, group_limit("/sys/fs/cgroup", path, "memory.max"));
        else if (strcmp(controllers, "memory") == 0)
            limit =
                smaller(limit, group_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
    if (groups != NULL)
        (void)fclose(groups);
    return limit;
}

static uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_MAX;
}

static int too_little_memory(const char *what, uint64_t needed, uint64_t limit,
                             const struct limits_wanted *wanted, struct error *err)
{
    error_set(err, "too little %s: %" PRIu64 " MiB are needed for %s, the limit is %" PRIu64 " MiB",
              what, needed / MIB, wanted->memory_for, limit / MIB);
    return -1;
}

int limits_check(const struct limits_wanted *wanted, struct error *err)
{
    uint64_t descriptors = limits_raise_descriptors();
    if (descriptors < wanted->descriptors) {
        error_set(err,
                  "too few file descriptors: %" PRIu64 " are needed for %s, the limit is %" PRIu64
                  " (ulimit -n)",
                  wanted->descriptors, wanted->descriptors_for, descriptors);
        return -1;
    }
    uint64_t memory = smaller(machine_memory(), control_group_limit());
    if (memory < wanted->memory_bytes)
        return too_little_memory("memory", wanted->memory_bytes, memory, wanted, err);
    struct rlimit space;
    uint64_t needed = wanted->memory_bytes + PROGRAM_ADDRESS_BYTES +
                      wanted->threads * (uint64_t)THREAD_ADDRESS_BYTES;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY &&
        space.rlim_cur < needed)
        return too_little_memory("address space (ulimit -v)", needed, space.rlim_cur, wanted, err);
    return 0;
}
