#include "proto/outcome.h"

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
