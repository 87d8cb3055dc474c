/* Metrics about the process itself. */
#include "services/base/process_metrics.h"
#include "services/base/log_writer.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double cpu_seconds(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used); /* cannot fail with this clock */
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

struct memory {
    double virtual_bytes, resident_bytes;
};

/* From /proc/self/statm (proc(5)): the first two numbers, in pages. */
static struct memory memory_used(void)
{
    unsigned long all = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL)
        return (struct memory){0};
    if (fscanf(statm, "%lu %lu", &all, &resident) != 2)
        all = resident = 0;
    (void)fclose(statm);
    double page_bytes = (double)sysconf(_SC_PAGESIZE);
    return (struct memory){(double)all * page_bytes, (double)resident * page_bytes};
}

static double max_descriptors(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static double open_descriptors(void)
{
    double count = -3; /* ".", ".." and the directory's own */
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return errno == EMFILE ? max_descriptors() : 0; /* none is left for the directory */
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

/* Unix time. Before main(), so that every scrape tells the same. */
static double start_seconds;

__attribute__((constructor)) static void note_start(void)
{
    start_seconds = (double)time(NULL);
}

static void render(FILE *out, const char *name, const char *type, const char *help, double value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

void process_metrics_render(FILE *out)
{
    render(out, "process_cpu_seconds_total", "counter", "CPU time used", cpu_seconds());
    struct memory memory = memory_used();
    render(out, "process_resident_memory_bytes", "gauge", "Memory in RAM", memory.resident_bytes);
    render(out, "process_virtual_memory_bytes", "gauge", "Address space", memory.virtual_bytes);
    render(out, "process_open_fds", "gauge", "Open file descriptors", open_descriptors());
    render(out, "process_max_fds", "gauge", "Limit of open file descriptors", max_descriptors());
    render(out, "process_start_time_seconds", "gauge", "Start, as Unix time", start_seconds);
    render(out, "log_lines_dropped_total", "counter", "Log lines that nobody took",
           (double)log_writer_dropped());
}
