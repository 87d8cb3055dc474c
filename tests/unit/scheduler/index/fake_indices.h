/* A fake Elasticsearch that has indices with aliases, settings and _meta, and no documents. It
 * keeps what Elasticsearch keeps: a request to _aliases happens as a whole or not at all, and an
 * alias and an index have not the same name. */
#ifndef TESTS_FAKE_INDICES_H
#define TESTS_FAKE_INDICES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fake_indices;

struct fake_indices *fake_indices_new(void);
void fake_indices_free(struct fake_indices *fake);
uint16_t fake_indices_port(const struct fake_indices *fake);

/* An index with this alias (NULL: none), whose _meta says this deployment (NULL: nothing). */
void fake_indices_add(struct fake_indices *fake, const char *name, const char *alias,
                      const char *deployment);
/* An alias more, through which nothing is written. */
void fake_indices_alias(struct fake_indices *fake, const char *name, const char *alias);
/* The alias moves from one index to another. */
void fake_indices_move(struct fake_indices *fake, const char *alias, const char *from,
                       const char *to);
/* This job builds it. */
void fake_indices_mark(struct fake_indices *fake, const char *name, int64_t job);
void fake_indices_remove(struct fake_indices *fake, const char *name);

/* As text: "orders-000001[orders*] orders-000002[orders-reindex-1*]", by name; "*": written to.
 * Lives until the next call. */
const char *fake_indices_text(struct fake_indices *fake);
/* "_meta" of an index as JSON; lives until the next call. */
const char *fake_indices_meta(struct fake_indices *fake, const char *name);

/* Requests that change something, as "PUT /orders-000002", with commas between; as above. */
const char *fake_indices_changes(struct fake_indices *fake);

/* From now on the request with this number, from 1, gets no answer: it is executed, or it is not;
 * it may be executed later. 0: all get one. */
enum fake_loss { FAKE_EXECUTED, FAKE_NOT_EXECUTED };
void fake_indices_lose(struct fake_indices *fake, unsigned number, enum fake_loss loss);
bool fake_indices_lost(const struct fake_indices *fake);  /* it has come */
int fake_indices_execute_lost(struct fake_indices *fake); /* its status */
const char *fake_indices_lost_request(const struct fake_indices *fake);

/* Requests that begin so are answered with this status and error type; NULL: none. */
void fake_indices_refuse(struct fake_indices *fake, const char *prefix, int status,
                         const char *type);

/* Was the alias "orders" ever without its index, once it had one? */
bool fake_indices_had_gap(struct fake_indices *fake);

#endif
