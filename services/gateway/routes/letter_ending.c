/* Words for letters that were replayed or discarded before. */
#include "services/gateway/routes/letter_ending.h"
#include "proto/timestamp.h"
#include <stdio.h>

void letter_ended_detail(const struct letter *letter, char detail[ENDING_DETAIL_SIZE])
{
    char at[TIMESTAMP_TEXT_SIZE] = "", id[ORDER_ID_TEXT_LEN + 1] = "";
    if (letter->ended)
        (void)timestamp_format(letter->ended_at_us, at);
    if (letter->has_replayed_as)
        order_id_format(&letter->replayed_as, id);
    snprintf(detail, ENDING_DETAIL_SIZE, "it was %s at %s by %s%s%s", letter->state, at,
             letter->ended_by != NULL ? letter->ended_by : "unknown", id[0] != '\0' ? " as " : "",
             id);
}
