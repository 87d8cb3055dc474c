/* One day of daily_sales_mv. A plain value. */
#ifndef CLIENTS_POSTGRES_SALES_DAY_H
#define CLIENTS_POSTGRES_SALES_DAY_H

#include <stdint.h>

#define SALES_DAYS_MAX 30 /* that are read at once */

struct sales_day {
    int64_t date_us;        /* midnight UTC */
    char total_revenue[64]; /* exact decimal, as JSON number */
};

#endif
