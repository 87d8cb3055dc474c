/* A private PostgreSQL for one test program: data in a temporary folder, reachable by a Unix socket
 * there and by TCP on 127.0.0.1. It ends with the program, however that ends. */
#ifndef TEST_POSTGRES_SERVER_H
#define TEST_POSTGRES_SERVER_H

#include <stdint.h>

/* Initialise and start; aborts with a message when that is impossible. */
void postgres_server_start(void);
void postgres_server_stop(void);

/* kill -9 of the whole server; and starting it again. */
void postgres_server_kill(void);
void postgres_server_restart(void);

/* Restart so that this is the number of the next transaction. It must not be more than 2^31 ahead
 * of those that are stored and not frozen. */
void postgres_server_go_on_at(uint32_t transaction);

/* SIGSTOP, SIGCONT of the process that accepts connections. */
void postgres_server_signal(int signal);

uint16_t postgres_server_port(void);
const char *postgres_server_folder(void); /* of the Unix socket */

#endif
