/* The pace of the store is measured while there is a backlog: for a second as it is, for one with
 * the other number of batches, and for one as it was, because a server that has just started takes
 * more each second. Two are kept if the store takes a tenth more orders with them: on a server
 * whose cores are all busy they would only wait for each other there. After half a minute the other
 * number is tried again, because servers and their load change: that costs a second at the slower
 * pace. A batch that ends badly ends all this at once. */
#include "services/worker/width.h"

#define MEASURE_MS 1000
#define MEASURE_BATCHES 8 /* at least */
#define LOOK_EVERY_MS 30000
#define WORTH 1.1 /* times as many orders */

void width_init(struct width *width, unsigned most)
{
    *width = (struct width){.most = most, .now = 1};
}

static void settle(struct width *width, unsigned now, int64_t now_ms)
{
    width->now = now;
    width->phase = WIDTH_SETTLED;
    width->look_at_ms = now_ms + LOOK_EVERY_MS;
}

/* A measurement is complete. */
static void on_rate(struct width *width, double rate, int64_t now_ms)
{
    switch (width->phase) {
    case WIDTH_SETTLED:
        if (now_ms < width->look_at_ms)
            return;
        width->settled_rate = rate;
        width->phase = WIDTH_TRIED;
        break;
    case WIDTH_TRIED:
        width->tried_rate = rate;
        width->phase = WIDTH_AGAIN;
        break;
    case WIDTH_AGAIN: {
        double settled = (width->settled_rate + rate) / 2, tried = width->tried_rate;
        bool two = width->now == 1 ? tried > WORTH * settled : settled > WORTH * tried;
        settle(width, two ? 2 : 1, now_ms);
        return;
    }
    }
    width->now = 3 - width->now;
}

void width_ended(struct width *width, size_t orders, enum width_end end, int64_t now_ms)
{
    if (width->most == 1)
        return;
    switch (end) {
    case WIDTH_END_BAD:
        width->measuring = false;
        settle(width, 1, now_ms);
        return;
    case WIDTH_END_IDLE:
        width->measuring = false;
        return;
    case WIDTH_END_BUSY:
        break;
    }
    if (!width->measuring) {
        width->measuring = true;
        width->since_ms = now_ms;
        width->orders = width->batches = 0;
        return;
    }
    width->orders += orders;
    width->batches++;
    int64_t elapsed_ms = now_ms - width->since_ms;
    if (elapsed_ms < MEASURE_MS || width->batches < MEASURE_BATCHES)
        return;
    width->measuring = false;
    on_rate(width, (double)width->orders * 1000 / (double)elapsed_ms, now_ms);
}
