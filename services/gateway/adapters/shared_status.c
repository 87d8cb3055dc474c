/* A question goes to the collector's loop as a message, and comes back as one with the answer. */
#include "services/gateway/adapters/shared_status.h"
#include "services/base/memory.h"
#include <stdlib.h>

struct status_desk {
    h2o_multithread_receiver_t receiver;
    struct status_collector *collector;
};

struct shared_status {
    struct system_status port;
    struct status_desk *desk;
    h2o_multithread_receiver_t receiver;
};

struct question {
    h2o_multithread_message_t message; /* first */
    struct shared_status *home;
    system_status_done_fn *on_done;
    void *arg;
    char *json; /* the answer */
    size_t len;
};

static struct question *next_question(h2o_linklist_t *messages)
{
    struct question *question =
        H2O_STRUCT_FROM_MEMBER(struct question, message.link, messages->next);
    h2o_linklist_unlink(&question->message.link);
    return question;
}

static void question_free(struct question *question)
{
    free(question->json);
    free(question);
}

static void drop_all(h2o_multithread_receiver_t *receiver)
{
    while (!h2o_linklist_is_empty(&receiver->_messages))
        question_free(next_question(&receiver->_messages));
    h2o_multithread_unregister_receiver(receiver->queue, receiver);
}

/* ---- on the collector's loop ---- */

static void on_told(void *arg, const char *json, size_t len)
{
    struct question *question = arg;
    question->json = memory_copy(json, len);
    question->len = len;
    h2o_multithread_send_message(&question->home->receiver, &question->message);
}

static void on_questions(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct status_desk *desk = H2O_STRUCT_FROM_MEMBER(struct status_desk, receiver, receiver);
    while (!h2o_linklist_is_empty(messages))
        status_collector_ask(desk->collector, on_told, next_question(messages));
}

/* ---- on the asker's loop ---- */

static void on_answers(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        struct question *question = next_question(messages);
        question->on_done(question->arg, question->json, question->len);
        question_free(question);
    }
}

static void ask(void *self, system_status_done_fn *on_done, void *arg)
{
    struct shared_status *shared = self;
    struct question *question = memory_new(sizeof(*question));
    question->home = shared;
    question->on_done = on_done;
    question->arg = arg;
    h2o_multithread_send_message(&shared->desk->receiver, &question->message);
}

/* ---- life ---- */

struct system_status *shared_status_new(struct status_desk *desk, h2o_multithread_queue_t *queue)
{
    struct shared_status *shared = memory_new(sizeof(*shared));
    shared->port = (struct system_status){.self = shared, .ask = ask};
    shared->desk = desk;
    h2o_multithread_register_receiver(queue, &shared->receiver, on_answers);
    return &shared->port;
}

void shared_status_free(struct system_status *port)
{
    if (port == NULL)
        return;
    struct shared_status *shared = port->self;
    drop_all(&shared->receiver);
    free(shared);
}

void status_desk_attend(struct status_desk *desk, struct status_collector *collector,
                        h2o_multithread_queue_t *queue)
{
    desk->collector = collector;
    h2o_multithread_register_receiver(queue, &desk->receiver, on_questions);
}

void status_desk_leave(struct status_desk *desk)
{
    drop_all(&desk->receiver);
}

struct status_desk *status_desk_new(void)
{
    return memory_new(sizeof(struct status_desk));
}

void status_desk_free(struct status_desk *desk)
{
    free(desk);
}
