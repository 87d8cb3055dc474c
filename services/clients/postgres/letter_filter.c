/* Makes the parameters of a filter; what it does not ask for is NULL. */
#include "services/clients/postgres/letter_filter.h"

void letter_filter_values(const struct letter_filter *filter, struct letter_filter_texts *texts,
                          const char *values[])
{
    if (filter->by_order_id)
        order_id_format(&filter->order_id, texts->order_id);
    if (filter->by_since)
        (void)timestamp_format(filter->since_us, texts->since);
    if (filter->by_until)
        (void)timestamp_format(filter->until_us, texts->until);
    values[0] = filter->state;
    values[1] = filter->reason;
    values[2] = filter->stage;
    values[3] = filter->detail;
    values[4] = filter->by_order_id ? texts->order_id : NULL;
    values[5] = filter->by_since ? texts->since : NULL;
    values[6] = filter->by_until ? texts->until : NULL;
}
