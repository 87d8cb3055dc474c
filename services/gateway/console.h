/* The console: one page, made of the files in console/ when the gateway is built. */
#ifndef GATEWAY_CONSOLE_H
#define GATEWAY_CONSOLE_H

#include <stddef.h>

extern const char console_html[];
extern const size_t console_html_len;
extern const char console_gzip[]; /* the same, compressed */
extern const size_t console_gzip_len;
extern const char console_etag[];   /* the value of ETag: weak, and the same for both */
extern const char console_policy[]; /* the value of Content-Security-Policy */

#endif
