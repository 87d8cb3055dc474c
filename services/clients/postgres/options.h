/* Rows of the configuration table for PostgreSQL. Each takes the service's settings struct and the
 * member that holds the value. */
#ifndef CLIENTS_POSTGRES_OPTIONS_H
#define CLIENTS_POSTGRES_OPTIONS_H

#include "services/base/config.h"
#include "services/clients/postgres/connection.h"

/* char * */
#define CONFIG_OPTION_POSTGRES_DSN(type, field)                                                    \
    CONFIG_OPTION(                                                                                 \
        "POSTGRES_DSN", CONFIG_SECRET, type, field,                                                \
        .default_text =                                                                            \
            "user=postgres password=secret dbname=ecommerce sslmode=disable host=postgres",        \
        .help = "PostgreSQL, as libpq keywords or URI", .validate = database_dsn_validate)

#endif
