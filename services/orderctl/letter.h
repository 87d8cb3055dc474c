/* Dead letters, for people. */
#ifndef ORDERCTL_LETTER_H
#define ORDERCTL_LETTER_H

#include <jansson.h>

void letter_print_heading(void);
void letter_print_row(const json_t *letter);
/* All that is known of a letter. */
void letter_print(const json_t *letter);
/* Write its body as it is; escaped if standard output is a terminal. Returns what to end with. */
int letter_print_body(const json_t *letter);

#endif
