/* The handlers of all routes, one file each. A handler answers its request, at once or later. */
#ifndef GATEWAY_ROUTES_ROUTES_H
#define GATEWAY_ROUTES_ROUTES_H

#include "services/gateway/request.h"

/* POST /api/orders */
void post_order(struct request *request, h2o_iovec_t rest);

/* GET /api/orders/{id}; `rest` is the text of the id. */
void get_order(struct request *request, h2o_iovec_t rest);

/* GET /api/orders/{id}/status; `rest` is the text of the id. */
void order_status(struct request *request, h2o_iovec_t rest);

/* GET /api/search */
void search_orders(struct request *request, h2o_iovec_t rest);

/* GET /api/dashboard/sales */
void read_sales(struct request *request, h2o_iovec_t rest);

/* GET /api/admin/dead-letters, and {id}, which is `rest` */
void list_dead_letters(struct request *request, h2o_iovec_t rest);
void show_dead_letter(struct request *request, h2o_iovec_t rest);

/* POST /api/admin/dead-letters/{id}/replay and {id}/discard */
void replay_dead_letter(struct request *request, h2o_iovec_t rest);
void discard_dead_letter(struct request *request, h2o_iovec_t rest);

/* POST /api/admin/dead-letters/replay and /discard */
void replay_dead_letters(struct request *request, h2o_iovec_t rest);
void discard_dead_letters(struct request *request, h2o_iovec_t rest);

/* GET and POST /api/admin/jobs, GET {id}, POST {id}/cancel; the id is `rest` */
void list_jobs(struct request *request, h2o_iovec_t rest);
void begin_index_job(struct request *request, h2o_iovec_t rest);
void show_job(struct request *request, h2o_iovec_t rest);
void cancel_job(struct request *request, h2o_iovec_t rest);

/* POST /api/admin/refresh */
void refresh_sales(struct request *request, h2o_iovec_t rest);

/* GET /api/admin/status */
void admin_status(struct request *request, h2o_iovec_t rest);

/* POST /api/bulk-orders */
void bulk_orders(struct request *request, h2o_iovec_t rest);

/* GET / */
void show_index(struct request *request, h2o_iovec_t rest);

/* GET /openapi.json */
void show_openapi(struct request *request, h2o_iovec_t rest);

/* GET /livez, /readyz, /metrics */
void health_page(struct request *request, h2o_iovec_t rest);

#endif
