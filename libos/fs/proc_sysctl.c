/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that programs read and that never change here: /proc/sys, and parts of /sys. What a limit elsewhere says, stands there. */
#include "libos/fs/inotify.h"
#include "libos/fs/procfs.h"
#include "libos/ipc/ipc.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

static const struct node inotify_files[] = { PROC_FIXED("max_user_watches", TEXT(INOTIFY_WATCHES)), PROC_FIXED("max_user_instances", TEXT(INOTIFY_INSTANCES)),
	PROC_FIXED("max_queued_events", TEXT(INOTIFY_EVENTS)), { 0 } };
static const struct node mqueue_files[] = { PROC_FIXED("msg_max", TEXT(IPC_MQ_MESSAGES)), PROC_FIXED("msg_default", TEXT(IPC_MQ_MESSAGES)),
	PROC_FIXED("msgsize_max", TEXT(IPC_MQ_BYTES)), PROC_FIXED("msgsize_default", TEXT(IPC_MQ_BYTES)), PROC_FIXED("queues_max", TEXT(IPC_MQ_QUEUES)), { 0 } };
const struct node sysctl_fs[] = { PROC_FIXED("file-max", "1048576"), PROC_FIXED("nr_open", "1048576"), PROC_FIXED("pipe-max-size", "1048576"),
	PROC_FIXED("aio-max-nr", TEXT(AIO_MOST)), PROC_FIXED("protected_hardlinks", "1"), PROC_FIXED("protected_symlinks", "0"), PROC_FIXED("suid_dumpable", "0"),
	PROC_FIXED("pipe-user-pages-soft", "16384"), PROC_FIXED("lease-break-time", "45"), PROC_DIR("inotify", inotify_files), PROC_DIR("mqueue", mqueue_files), { 0 } };
const struct node sysctl_vm[] = { PROC_FIXED("overcommit_memory", "1"), PROC_FIXED("overcommit_ratio", "50"), PROC_FIXED("max_map_count", "65530"),
	PROC_FIXED("swappiness", "0"), PROC_FIXED("mmap_min_addr", "65536"), PROC_FIXED("nr_hugepages", "0"), PROC_FIXED("dirty_ratio", "20"),
	PROC_FIXED("dirty_background_ratio", "10"), PROC_FIXED("min_free_kbytes", "1024"), PROC_FIXED("vfs_cache_pressure", "100"), PROC_FIXED("panic_on_oom", "0"),
	PROC_FIXED("zone_reclaim_mode", "0"), PROC_FIXED("overcommit_kbytes", "0"), { 0 } };

static const struct node core_files[] = { PROC_FIXED("somaxconn", "4096"), PROC_FIXED("rmem_default", "212992"), PROC_FIXED("wmem_default", "212992"),
	PROC_FIXED("rmem_max", "212992"), PROC_FIXED("wmem_max", "212992"), PROC_FIXED("optmem_max", "20480"), PROC_FIXED("netdev_max_backlog", "1000"), { 0 } };
static const struct node ipv4_files[] = { PROC_FIXED("ip_local_port_range", "32768\t60999"), PROC_FIXED("ip_forward", "0"), PROC_FIXED("ip_default_ttl", "64"),
	PROC_FIXED("ip_nonlocal_bind", "0"), PROC_FIXED("ip_unprivileged_port_start", "0"), PROC_FIXED("tcp_keepalive_time", "7200"),
	PROC_FIXED("tcp_keepalive_intvl", "75"), PROC_FIXED("tcp_keepalive_probes", "9"), PROC_FIXED("tcp_fin_timeout", "60"), PROC_FIXED("tcp_syncookies", "0"),
	PROC_FIXED("tcp_max_syn_backlog", "4096"), PROC_FIXED("tcp_congestion_control", "reno"), PROC_FIXED("tcp_available_congestion_control", "reno"),
	PROC_FIXED("tcp_rmem", "4096\t131072\t6291456"), PROC_FIXED("tcp_wmem", "4096\t16384\t4194304"), PROC_FIXED("tcp_fastopen", "0"),
	PROC_FIXED("tcp_timestamps", "0"), PROC_FIXED("tcp_window_scaling", "1"), PROC_FIXED("tcp_sack", "1"), PROC_FIXED("tcp_tw_reuse", "0"), { 0 } };
static const struct node all_files[] = { PROC_FIXED("disable_ipv6", "0"), PROC_FIXED("forwarding", "0"), { 0 } };
static const struct node conf_dirs[] = { PROC_DIR("all", all_files), PROC_DIR("default", all_files), { 0 } };
static const struct node ipv6_files[] = { PROC_FIXED("bindv6only", "0"), PROC_DIR("conf", conf_dirs), { 0 } };
static const struct node unix_files[] = { PROC_FIXED("max_dgram_qlen", "10"), { 0 } };
const struct node sysctl_net[] = { PROC_DIR("core", core_files), PROC_DIR("ipv4", ipv4_files), PROC_DIR("ipv6", ipv6_files), PROC_DIR("unix", unix_files), { 0 } };

/* ---- /sys ---- */

static const struct node huge_files[] = { PROC_FIXED("enabled", "[always] madvise never"), PROC_FIXED("defrag", "always defer defer+madvise madvise [never]"),
	PROC_FIXED("hpage_pmd_size", "2097152"), PROC_FIXED("shmem_enabled", "always within_size advise [never] deny force"), { 0 } };
static const struct node mm_dirs[] = { PROC_DIR("transparent_hugepage", huge_files), { 0 } };
const struct node sys_kernel[] = { PROC_DIR("mm", mm_dirs), { 0 } };
