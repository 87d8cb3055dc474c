/* Verdicts of a store on single orders. */
#include "proto/verdict.h"
#include <stdio.h>
#include <string.h>

void verdict_copy(struct verdict *to, const struct verdict *from)
{
    to->outcome = from->outcome;
    to->created_at_us = from->created_at_us;
    to->code[0] = to->detail[0] = '\0';
    if (from->code[0] != '\0')
        memcpy(to->code, from->code, sizeof to->code);
    if (from->detail[0] != '\0')
        memcpy(to->detail, from->detail, sizeof to->detail);
}

void verdict_done(struct verdict *verdict, int64_t created_at_us)
{
    verdict->outcome = OUTCOME_DONE;
    verdict->created_at_us = created_at_us;
    verdict->code[0] = verdict->detail[0] = '\0';
}

void verdict_fail(struct verdict *verdict, enum outcome outcome, const char *code,
                  const char *detail)
{
    verdict->outcome = outcome;
    verdict->created_at_us = 0;
    (void)snprintf(verdict->code, sizeof verdict->code, "%s", code); /* cut to fit */
    size_t i = 0;
    for (; detail[i] != '\0' && i + 1 < sizeof verdict->detail; i++)
        verdict->detail[i] = detail[i] >= ' ' && detail[i] <= '~' ? detail[i] : '?';
    verdict->detail[i] = '\0';
    if (detail[i] != '\0')
        memcpy(verdict->detail + i - strlen("..."), "...", strlen("..."));
}

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_DONE] = "done", [OUTCOME_RETRY] = "retry", [OUTCOME_REJECT] = "reject"};
    return names[outcome];
}
