/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "daemon/local.h"

int local_decode(const void *data, size_t size, struct lv_daemon_request *head, struct error *error)
{
	if (size < sizeof(*head))
		return error_set(error, -EBADMSG, "a request of %zu bytes; its head has %zu", size, sizeof(*head));
	memcpy(head, data, sizeof(*head));
	if (head->magic != LV_DAEMON_MAGIC)
		return error_set(error, -EBADMSG, "0x%x is not the mark of a request", head->magic);
	if (head->version > LV_DAEMON_VERSION)
		return error_set(error, -EPROTONOSUPPORT, "the request is of version %u; this lightvmd speaks %u: restart it", head->version, LV_DAEMON_VERSION);
	if (head->size != size - sizeof(*head))
		return error_set(error, -EBADMSG, "the request says that %u bytes follow, and %zu do", head->size, size - sizeof(*head));
	if (head->reserved)
		return error_set(error, -EBADMSG, "reserved: %u is not 0", head->reserved);
	return 0;
}
