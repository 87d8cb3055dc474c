/* A filter of letters as parameters of a statement. Inside the database module. */
#ifndef CLIENTS_POSTGRES_LETTER_FILTER_H
#define CLIENTS_POSTGRES_LETTER_FILTER_H

#include "proto/timestamp.h"
#include "services/clients/postgres/letter.h"

#define LETTER_FILTER_PARAMETERS 7

/* The condition on a row of dead_letters; it takes $1 to $7. */
#define LETTER_FILTER                                                                              \
    "($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR reason = $2)"                       \
    " AND ($3::text IS NULL OR stage = $3)"                                                        \
    " AND ($4::text IS NULL OR position(lower($4) IN lower(detail)) > 0)"                          \
    " AND ($5::uuid IS NULL OR order_id = $5)"                                                     \
    " AND ($6::timestamptz IS NULL OR died_at >= $6)"                                              \
    " AND ($7::timestamptz IS NULL OR died_at < $7)"

/* The texts that the parameters need. */
struct letter_filter_texts {
    char order_id[ORDER_ID_TEXT_LEN + 1];
    char since[TIMESTAMP_TEXT_SIZE], until[TIMESTAMP_TEXT_SIZE];
};

/* Set the first LETTER_FILTER_PARAMETERS of `values`, as text; they live as long as the filter and
 * its texts. */
void letter_filter_values(const struct letter_filter *filter, struct letter_filter_texts *texts,
                          const char *values[]);

#endif
