/* The properties of a message in JSON, for people. */
#ifndef GATEWAY_ROUTES_MESSAGE_JSON_H
#define GATEWAY_ROUTES_MESSAGE_JSON_H

#include <jansson.h>
#include <stddef.h>

#define MESSAGE_JSON_MAX_DEPTH 8
#define MESSAGE_JSON_MAX_VALUES 5000

/* An object of the properties, as far as they can be read, from their encoding on the wire (AMQP
 * 0-9-1, 4.2.6.1). Any bytes will do. What is deeper or more than above is null, and then the
 * object has "cut": true. Text that is no UTF-8 is {"base64":…}. */
json_t *message_json(const void *properties, size_t len);

#endif
