/* What is printed. A string of the server may hold anything, also sequences that command a
 * terminal: none of it goes out as it is, unless it is a whole body that goes to a file. */
#ifndef ORDERCTL_OUTPUT_H
#define ORDERCTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_FAINT, TONE_STRONG };

/* Colours are for terminals, unless NO_COLOR is set (https://no-color.org). */
void output_tone(FILE *stream, enum tone tone);

/* Print text with every control character, also those of writing direction, as \u001b, and every
 * byte that is not UTF-8 as \xff. */
void output_text(FILE *stream, const char *text);
void output_bytes(FILE *stream, const char *bytes, size_t len);
/* As output_bytes(), with its line ends and tabs, each line behind `indent`. */
void output_lines(FILE *stream, const char *indent, const char *bytes, size_t len);
/* As output_text(), cut or filled with blanks to so many characters. */
void output_column(FILE *stream, const char *text, size_t width);

/* JSON in ASCII, and a line end. */
void output_json(FILE *stream, const json_t *json, size_t flags);

/* How many characters a line of the terminal has; 0 if it is none. */
size_t output_width(FILE *stream);

/* "3 min ago", "in 2 h", "just now". */
#define TIME_WORDS_SIZE 40
void time_words(int64_t then_us, int64_t now_us, char text[TIME_WORDS_SIZE]);
/* "20 min" */
void duration_words(int64_t seconds, char text[TIME_WORDS_SIZE]);
/* "3 min ago (2026-11-29T22:55:39Z)" of RFC 3339, "never" of NULL. */
void output_time(FILE *stream, const char *timestamp);

/* A line "  label        text" on standard output; none when there is no text. */
void output_field(const char *label, const char *text);
void output_time_field(const char *label, const char *timestamp);

#endif
