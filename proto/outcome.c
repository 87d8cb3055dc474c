#include "proto/outcome.h"

const char *stage_name(enum stage stage)
{
    switch (stage) {
    case STAGE_PERSIST:
        return "persist";
    case STAGE_INDEX:
        return "index";
    }
    return "unknown";
}

const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_DONE:
        return "done";
    case OUTCOME_RETRY:
        return "retry";
    case OUTCOME_REJECT:
        return "reject";
    }
    return "unknown";
}
