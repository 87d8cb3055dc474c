/* A line of progress. */
#include "services/orderctl/progress.h"
#include "services/base/clock.h"
#include "services/orderctl/output.h"
#include <stdio.h>
#include <unistd.h>

#define TERMINAL_INTERVAL_MS 200
#define LOG_INTERVAL_MS 10000

void progress_begin(struct progress *progress, double done)
{
    int64_t now_ms = clock_monotonic_ms();
    *progress = (struct progress){
        .terminal = isatty(STDERR_FILENO) == 1, .started_ms = now_ms, .begun_with = done};
    progress->shown_ms = progress->terminal ? now_ms - TERMINAL_INTERVAL_MS : now_ms;
}

bool progress_due(const struct progress *progress, int64_t now_ms)
{
    return now_ms - progress->shown_ms >=
           (progress->terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS);
}

void progress_show(struct progress *progress, const char *text, double done, double total,
                   int64_t now_ms)
{
    double seconds = (double)(now_ms - progress->started_ms) / 1000;
    double rate = seconds > 0 ? (done - progress->begun_with) / seconds : 0;
    progress->shown_ms = now_ms;
    if (progress->terminal)
        fputs("\r\033[K", stderr);
    fputs(text, stderr);
    if (total > 0 && rate > 0 && done < total) {
        char left[TIME_WORDS_SIZE];
        duration_words((int64_t)((total - done) / rate) + 1, left);
        fprintf(stderr, ", %s left", left);
    }
    if (!progress->terminal)
        fputc('\n', stderr);
    progress->open = progress->terminal;
    (void)fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->open)
        fputs("\r\033[K", stderr);
    progress->open = false;
}
