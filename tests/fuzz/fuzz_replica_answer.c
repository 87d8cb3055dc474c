#include "services/gateway/adapters/replica_answer.h"
#include "tests/fuzz/fuzz.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

/* Whatever answers on an admin port: texts are printable UTF-8 that fits, numbers are finite. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    enum replica_status status;
    struct replica_reasons reasons;
    if (replica_read_readiness(text, size, &status, &reasons) == 0) {
        REQUIRE(status < REPLICA_UNREACHABLE && reasons.count <= REPLICA_REASONS_MAX);
        for (size_t i = 0; i < reasons.count; i++) {
            json_t *json = json_string(reasons.texts[i]);
            REQUIRE(json != NULL && strlen(reasons.texts[i]) < REPLICA_REASON_SIZE);
            json_decref(json);
        }
    }

    struct replica_metrics metrics;
    replica_read_metrics(text, size, &metrics);
    REQUIRE(strnlen(metrics.service, sizeof metrics.service) < sizeof metrics.service);
    for (size_t i = 0; i < REPLICA_METRICS; i++)
        REQUIRE(isnan(metrics.values[i]) ||
                (isfinite(metrics.values[i]) && metrics.values[i] >= 0));
    return 0;
}
