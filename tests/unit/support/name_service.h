/* A name service for tests, in place of getaddrinfo(3), as the whole process sees it, libzmq too.
 */
#ifndef TESTS_NAME_SERVICE_H
#define TESTS_NAME_SERVICE_H

/* While it is silent there is no answer for slow.test; then it is that there is no such name. Speak
 * before lookups of it are waited for. */
void name_service_be_silent(void);
void name_service_speak(void);

/* The numeric addresses of found.test, a comma between them. NULL, and so it is at first: there is
 * no such name. The string stays the caller's. */
void name_service_set(const char *addresses);

#endif
