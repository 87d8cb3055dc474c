/* A private PgBouncer before the private PostgreSQL, on 127.0.0.1. It ends with the program,
 * however that ends. */
#ifndef TEST_PGBOUNCER_H
#define TEST_PGBOUNCER_H

#include <stdint.h>

/* Start it with these settings: lines of the section [pgbouncer]. The same port each time. */
void pgbouncer_start(const char *settings);
void pgbouncer_stop(void);

uint16_t pgbouncer_port(void);

#endif
