/* Ctrl-C while something is watched: what was begun goes on, only the watching ends. */
#ifndef ORDERCTL_INTERRUPT_H
#define ORDERCTL_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* From now on SIGINT and SIGTERM are remembered instead of ending the program; the second one ends
 * it. */
void interrupt_watch(void);
bool interrupt_asked(void);

/* Sleep; returns early, with true, when an interrupt was asked for. */
bool interrupt_sleep_ms(int64_t ms);

#endif
