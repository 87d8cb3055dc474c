/* A line that tells how far something is, on standard error: on a terminal it is written over and
 * over, else there is a line each 10 s. */
#ifndef ORDERCTL_PROGRESS_H
#define ORDERCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool terminal;
    bool open; /* a line on the terminal has no end yet */
    int64_t started_ms, shown_ms;
    double begun_with; /* done when it started */
};

void progress_begin(struct progress *progress, double done);
/* Whether a line is due now. */
bool progress_due(const struct progress *progress, int64_t now_ms);
/* Show `text`, then the rate and the time left, as far as done and total (0: not known) tell. */
void progress_show(struct progress *progress, const char *text, double done, double total,
                   int64_t now_ms);
/* End the line on the terminal, before anything else is printed. */
void progress_end(struct progress *progress);

#endif
