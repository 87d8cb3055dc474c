/* A line that tells how far something is, on standard error: on a terminal it is written over and
 * over, else there is a line each 10 s. */
#ifndef ORDERCTL_PROGRESS_H
#define ORDERCTL_PROGRESS_H

#include "services/orderctl/output.h"
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
/* What was done each second since it started. */
double progress_rate(const struct progress *progress, double done, int64_t now_ms);
/* ", 3 min left", or nothing while total (0) or the rate is not known. */
#define PROGRESS_LEFT_SIZE (TIME_WORDS_SIZE + 8)
void progress_left(double done, double total, double rate, char text[PROGRESS_LEFT_SIZE]);
/* Show `text`, then the time left. */
void progress_show(struct progress *progress, const char *text, double done, double total,
                   int64_t now_ms);
/* End the line on the terminal, before anything else is printed. */
void progress_end(struct progress *progress);

#endif
