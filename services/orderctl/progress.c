/* A line of progress. */
#include "services/orderctl/progress.h"
#include "services/base/clock.h"
#include <stdio.h>
#include <string.h>
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

double progress_rate(const struct progress *progress, double done, int64_t now_ms)
{
    double seconds = (double)(now_ms - progress->started_ms) / 1000;
    return seconds > 0 ? (done - progress->begun_with) / seconds : 0;
}

void progress_left(double done, double total, double rate, char text[PROGRESS_LEFT_SIZE])
{
    char left[TIME_WORDS_SIZE];
    text[0] = '\0';
    if (total > 0 && rate > 0 && done < total) {
        duration_words((int64_t)((total - done) / rate) + 1, left);
        (void)snprintf(text, PROGRESS_LEFT_SIZE, ", %s left", left);
    }
}

void progress_show(struct progress *progress, const char *text, double done, double total,
                   int64_t now_ms)
{
    char line[512], left[PROGRESS_LEFT_SIZE];
    progress->shown_ms = now_ms;
    progress_left(done, total, progress_rate(progress, done, now_ms), left);
    (void)snprintf(line, sizeof(line), "%.400s%s", text, left);
    size_t width = output_width(stderr);
    if (progress->terminal) /* a line that is too long would stay */
        fputs("\r\033[K", stderr);
    if (progress->terminal && width > 1 && strlen(line) >= width)
        output_column(stderr, line, width - 1);
    else
        output_text(stderr, line);
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
