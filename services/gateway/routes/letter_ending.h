/* What is common to the routes that end a dead letter. */
#ifndef GATEWAY_ROUTES_LETTER_ENDING_H
#define GATEWAY_ROUTES_LETTER_ENDING_H

#include "services/clients/postgres/letter.h"
#include "services/gateway/request.h"

#define ENDING_DETAIL_SIZE 256

/* The words for a letter that had ended before: what became of it, when, and who did it. */
void letter_ended_detail(const struct letter *letter, char detail[ENDING_DETAIL_SIZE]);

#endif
