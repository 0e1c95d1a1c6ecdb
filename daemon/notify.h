/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager is told (sd_notify(3)): a datagram to the socket that $NOTIFY_SOCKET names. Ten lines in place of a library. */
#ifndef LV_DAEMON_NOTIFY_H
#define LV_DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=..."; nothing where nobody asked. */
void notify_manager(const char *words);

#endif
