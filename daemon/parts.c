/* SPDX-License-Identifier: Apache-2.0 */
/* What hangs on the daemon: the parts, the operations of the API and of the local socket. A new part is a line here. */
#include <string.h>

#include "daemon/local.h"
#include "daemon/api_pools.h"
#include "daemon/api_services.h"
#include "daemon/service.h"
#include "daemon/minder.h"
#include "daemon/api_events.h"
#include "daemon/api_self.h"
#include "daemon/metrics.h"
#include "daemon/browser_page.h"
#include "daemon/pools.h"
#include "daemon/routes.h"
#include "daemon/vm_watch.h"

/* In the order of their starts: who tells of events comes behind those who keep them. */
const struct daemon_part *const daemon_parts[] = {
	&events_part,
	&metrics_part,
	&watch_part,
	&pools_part,
	&minder_part,
	&page_part,
	&service_part,
	NULL,
};

const struct route *const route_tables[] = {
	routes_self,
	routes_vms,
	routes_stats,
	routes_logs,
	routes_exec,
	routes_files,
	routes_upkeep,
	routes_images,
	routes_events,
	routes_metrics,
	routes_page,
	routes_services,
	routes_pools,
	routes_saves,
	NULL,
};

const struct local_op *const local_ops[] = {
	self_local_ops,
	events_local_ops,
	pools_claim_ops,
	pools_local_ops,
	minder_ops,
	page_local_ops,
	services_local_ops,
	NULL,
};

void *daemon_part_find(struct daemon *daemon, const char *name)
{
	for (size_t i = 0; daemon_parts[i]; i++)
		if (!strcmp(daemon_parts[i]->name, name))
			return daemon->part[i];
	return NULL;
}
