/* What is counted is what is allocated. An answer whose length is announced takes that, so that of
 * many at once the first ones come whole, rather than a part of each. One whose length is not known
 * takes twice as much each time that it is full. */
#include "services/clients/http/answer_body.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

struct answer_body *answer_body_new(struct byte_budget *budget)
{
    struct answer_body *answer = memory_new(sizeof(*answer));
    answer->budget = budget;
    return answer;
}

void answer_body_free(struct answer_body *answer)
{
    if (answer == NULL)
        return;
    free(answer->bytes);
    if (answer->budget != NULL)
        byte_budget_return(answer->budget, answer->capacity);
    free(answer);
}

int answer_body_append(struct answer_body *answer, const void *bytes, size_t len,
                       size_t expected_len)
{
    size_t needed = answer->len + len;
    if (needed > answer->capacity) {
        size_t capacity = expected_len >= needed ? expected_len : 2 * needed;
        if (answer->budget != NULL &&
            !byte_budget_take(answer->budget, capacity - answer->capacity))
            return -1;
        answer->bytes = memory_resize(answer->bytes, capacity);
        answer->capacity = capacity;
    }
    memcpy(answer->bytes + answer->len, bytes, len);
    answer->len += len;
    return 0;
}
