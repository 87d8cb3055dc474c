/* Text inside JSON strings, for what is written by hand: log lines and health reports. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room that `len` bytes may need, with the NUL. */
#define JSON_TEXT_SIZE(len) (6 * (len) + 1)

/* Write `text` as the inside of a JSON string, and a NUL, to `buffer` of `size` > 0 bytes; returns
 * the length written. What does not fit is left out, an escape never cut. Quotes, backslashes and
 * everything that could end or disturb a line are escaped (C0 and C1 controls, DEL, line and
 * paragraph separators, marks of writing direction); bytes that are not UTF-8 become U+FFFD. */
size_t json_text_escape(const char *text, size_t len, char *buffer, size_t size);

/* Whether a character could end or disturb a line: the C0 and C1 controls, DEL, the line and
 * paragraph separators, and the marks of writing direction. */
bool json_text_disturbs(uint32_t character);

#endif
