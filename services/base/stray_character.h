/* Characters that no setting has: an editor leaves them, or a file that is not what it should be.
 */
#ifndef BASE_STRAY_CHARACTER_H
#define BASE_STRAY_CHARACTER_H

#include <stdbool.h>
#include <stddef.h>

#define STRAY_CHARACTER_SIZE 96

/* Look for the first control character, line or paragraph separator, or byte order mark in `len`
 * bytes. Returns false when there is none; else `what` names it and says where it is, without a
 * word of the text: "a carriage return (U+000D) at its end". A tab counts unless `tabs`. */
bool stray_character_find(const char *text, size_t len, bool tabs, char what[STRAY_CHARACTER_SIZE]);

#endif
