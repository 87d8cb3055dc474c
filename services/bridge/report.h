/* What the bridge says of itself: metrics (bridge_*), the readiness of the stages, and log
 * lines, one per change or rate-limited. */
#ifndef BRIDGE_REPORT_H
#define BRIDGE_REPORT_H

#include "services/bridge/flow.h"

struct report;

struct report *report_new(size_t window);
void report_free(struct report *report);

/* An order has come out of the queue. */
void report_delivery(struct report *report, const struct content *content);

/* As in struct flow_ports. */
void report_outcome(struct report *report, enum stage stage, const struct reply_item *item,
                    const struct order *order, int64_t at_worker_ms);
void report_stage(struct report *report, enum stage stage, enum stage_state state,
                  const struct reply_item *item);
void report_dead_letter(struct report *report, const struct dead_letter_report *letter);

/* From time to time: the state of the flow, and whether some worker of each stage takes jobs now.
 */
void report_flow(struct report *report, const struct flow *flow, const bool writable[STAGES],
                 int64_t now_ms);

#endif
