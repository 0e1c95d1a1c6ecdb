/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation a request asks for: the tables of all families, and the check of a request against its route. Touches no socket. */
#ifndef LV_DAEMON_ROUTES_H
#define LV_DAEMON_ROUTES_H

#include "daemon/api.h"

/* One table a family, in its api_FAMILY.c; ended by an empty route. */
extern const struct route *const route_tables[]; /* ended by NULL; in parts.c */
extern const struct route routes_self[], routes_vms[], routes_logs[], routes_exec[], routes_images[], routes_events[], routes_services[], routes_metrics[], routes_page[],
	routes_pools[], routes_stats[], routes_saves[], routes_files[], routes_upkeep[];

/*
 * Fills request->route and the parameters of the path. 0; or the HTTP status of the refusal, with a message: 404, 405 (allow gets the
 * methods that there are, as the header wants them), 503 when memory is short. api_request_clear in every case.
 */
unsigned route_find(struct api_request *request, const char *method, const char *path, struct text *allow, struct error *error);
/* A pair of the query (value NULL: the bare key). 0 or the status of the refusal. */
unsigned route_query(struct api_request *request, const char *key, const char *value, struct error *error);
/* The body, all of it. 0 or the status of the refusal. */
unsigned route_body(struct api_request *request, const char *type, const char *data, size_t size, struct error *error);

/* That of a body that is no JSON: 0 or the status of the refusal. */
unsigned route_body_type(const char *type, struct error *error);

#endif
