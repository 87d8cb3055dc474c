#include "services/worker/parts.h"
#include <assert.h>

void parts_begin(struct parts *parts, size_t count)
{
    assert(count >= 1 && count <= BATCH_MAX);
    parts->next = 0;
    parts->count = 0;
    parts_add(parts, (struct part){0, count});
}

bool parts_take(struct parts *parts, struct part *ret_part)
{
    if (parts->count == 0)
        return false;
    *ret_part = parts->ring[parts->next];
    parts->next = (parts->next + 1) % BATCH_MAX;
    parts->count--;
    return true;
}

void parts_add(struct parts *parts, struct part part)
{
    assert(parts->count < BATCH_MAX);
    parts->ring[(parts->next + parts->count++) % BATCH_MAX] = part;
}

void parts_cut(struct parts *parts, const struct part *part, size_t pieces)
{
    size_t piece = (part->count + pieces - 1) / pieces;
    for (size_t offset = 0; offset < part->count; offset += piece) {
        size_t rest = part->count - offset;
        parts_add(parts, (struct part){part->first + offset, rest < piece ? rest : piece});
    }
}
