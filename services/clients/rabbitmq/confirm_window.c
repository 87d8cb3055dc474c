/* A ring of slots, one for each tag from the oldest unanswered to the newest, so that a
 * confirm of any tag costs O(1). */
#include "services/clients/rabbitmq/confirm_window.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/publisher.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a over both, with their border. Never 0. */
static uint64_t fingerprint_of(const void *message_id, size_t message_id_len,
                               const void *routing_key, size_t routing_key_len)
{
    const unsigned char *parts[] = {message_id, (const unsigned char *)"", routing_key};
    const size_t lens[] = {message_id_len, 1, routing_key_len};
    uint64_t hash = 0xcbf29ce484222325u;
    for (int part = 0; part < 3; part++)
        for (size_t i = 0; i < lens[part]; i++)
            hash = (hash ^ parts[part][i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

void confirm_window_init(struct confirm_window *window, size_t capacity)
{
    uint64_t size = 1;
    while (size < capacity)
        size *= 2;
    struct sent_message *slots = memory_new_array(size, sizeof *slots);
    *window = (struct confirm_window){.slots = slots, .mask = size - 1};
    confirm_window_reset(window);
}

void confirm_window_release(struct confirm_window *window)
{
    free(window->slots);
    window->slots = NULL;
}

void confirm_window_reset(struct confirm_window *window)
{
    memset(window->slots, 0, (window->mask + 1) * sizeof *window->slots);
    window->first = 1;
    window->next = 1;
    window->next_return = 1;
}

bool confirm_window_full(const struct confirm_window *window)
{
    return window->next - window->first > window->mask;
}

void confirm_window_add(struct confirm_window *window, struct publish_request *request,
                        int64_t now_us)
{
    assert(!confirm_window_full(window));
    window->slots[window->next & window->mask] = (struct sent_message){
        .request = request,
        .fingerprint = fingerprint_of(request->message_id,
                                      request->message_id ? strlen(request->message_id) : 0,
                                      request->routing_key, strlen(request->routing_key)),
        .sent_us = now_us,
        .again = request->sent,
    };
    window->next++;
}

void confirm_window_mark_returned(struct confirm_window *window, const void *message_id,
                                  size_t message_id_len, const void *routing_key,
                                  size_t routing_key_len)
{
    uint64_t fingerprint = fingerprint_of(message_id, message_id_len, routing_key, routing_key_len);
    uint64_t tag = window->next_return;
    if (window->next - tag > window->mask + 1) /* older slots are in use again */
        tag = window->next - (window->mask + 1);
    for (; tag < window->next; tag++) {
        struct sent_message *slot = &window->slots[tag & window->mask];
        if (slot->fingerprint != fingerprint || slot->returned)
            continue;
        slot->returned = true;
        window->next_return = tag + 1;
        return;
    }
}

const struct sent_message *confirm_window_peek(const struct confirm_window *window, uint64_t tag)
{
    if (tag < window->first || tag >= window->next)
        return NULL;
    const struct sent_message *slot = &window->slots[tag & window->mask];
    return slot->request ? slot : NULL;
}

bool confirm_window_expire(struct confirm_window *window, uint64_t tag,
                           struct sent_message *ret_message)
{
    if (!confirm_window_peek(window, tag))
        return false;
    struct sent_message *slot = &window->slots[tag & window->mask];
    *ret_message = *slot;
    slot->request = NULL;
    while (window->first < window->next && !window->slots[window->first & window->mask].request)
        window->first++;
    return true;
}

bool confirm_window_settle(struct confirm_window *window, uint64_t tag,
                           struct sent_message *ret_message)
{
    bool unanswered = confirm_window_expire(window, tag, ret_message);
    if (tag < window->next && window->next - tag <= window->mask + 1)
        window->slots[tag & window->mask].fingerprint = 0;
    return unanswered;
}
