/* How many batches are under way at once: one, or two where the store is measured to take more
 * orders so. No clock of its own. */
#ifndef WORKER_WIDTH_H
#define WORKER_WIDTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIDTH_MAX 2

/* How a batch ended. */
enum width_end {
    WIDTH_END_BUSY, /* well, and another full batch was waiting for it */
    WIDTH_END_IDLE, /* well, and nothing was waiting: this says nothing about the store's pace */
    WIDTH_END_BAD,  /* it took long, or an order has to be tried again */
};

/* A plain value: width_init() sets it. */
struct width {
    unsigned most, now; /* batches at once, 1..WIDTH_MAX */
    /* private */
    enum width_phase { WIDTH_SETTLED, WIDTH_TRIED, WIDTH_AGAIN } phase;
    double settled_rate, tried_rate; /* orders in a second, with `now` when settled, and else */
    int64_t look_at_ms;              /* the next trial begins no earlier */
    bool measuring;                  /* since_ms and orders are set */
    int64_t since_ms;                /* a batch ended then, its orders are not counted */
    size_t orders, batches;          /* that ended since */
};

/* `most` 1: there is nothing to find out. */
void width_init(struct width *width, unsigned most);

/* A batch of so many orders has ended. `now` may be another one afterwards. */
void width_ended(struct width *width, size_t orders, enum width_end end, int64_t now_ms);

#endif
