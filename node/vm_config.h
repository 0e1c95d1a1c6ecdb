/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VM as asked for: filled by command line and image manifest, by JSON or by an API; validated, applied, and kept as config.json,
 * from which it starts again.
 */
#ifndef LV_NODE_VM_CONFIG_H
#define LV_NODE_VM_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/vm_records.h"
#include "base/error.h"
#include "base/text.h"
#include "node/net_spec.h"
#include "node/restart_policy.h"
#include "node/state.h"
#include "parse/mount_word.h"

#define CONFIG_MEMORY (256ull << 20) /* unless told otherwise; a limit, not a cost */
#define CONFIG_MEMORY_LEAST (4ull << 20)
#define CONFIG_MEMORY_MOST (64ull << 30)
#define CONFIG_DISKS 8
#define CONFIG_MOUNTS 32
#define CONFIG_VERSION 1
#define CONFIG_FILE "config.json" /* in a VM's directory */

struct config_disk {
	char *path, *serial; /* serial NULL: none */
	bool read_only;
	bool overlay; /* keeps what a Linux guest writes to its root */
	int fd, lock; /* lock: holds the file's lock (base/disk_claim.h) */
};

/* In the published form: read_only, writable, tmpfs, volume. */
struct config_mount { /* a part of the file system that is not as the image has it (parse/mount_word.h) */
	char *path;
	enum mount_kind kind;
	uint64_t size; /* of a tmpfs, bytes; 0: as much as there is memory */
	uint32_t mode; /* of a tmpfs */
	char *source;  /* of a volume: the directory of the host, absolute */
	bool frozen;   /* of a volume: the VM cannot write there; "ro" in the published form */
};

struct config_guest { /* which kernel, and what only a Linux guest has */
	bool is_linux;
	bool bare;	   /* nothing of ours is in it: no PID 1, no agent; it speaks through a serial port */
	char *kernel;	   /* "libos", the name of a built kernel, or a path as it was given */
	char *kernel_path; /* absolute; NULL: libos */
	char *initrd;	   /* NULL: ours, or none with bare */
	char *append;	   /* NULL: nothing */
	int kernel_fd, initrd_fd; /* -1: none */
	bool kernel_kept; /* with kernel_fd: nobody writes to that file, so that its pages may be shared */
	uint32_t cpus;
	bool rng, balloon; /* devices that it has besides those that are named */
};

enum prefault { PREFAULT_AUTO, PREFAULT_OFF, PREFAULT_ALL }; /* has it the pages of its start before it touches them? docs/prefault.md */
extern const char *const prefault_words[];

struct config_state { /* from which it goes on, in place of a program that starts */
	int state, memory; /* descriptors for reading; -1: none */
	int pages;         /* which pages it writes first, in place of one by one; -1: not known */
	int below[LV_VM_BELOW_MAX]; /* what memory is a difference from, and that, down to the whole one; so many there are: */
	unsigned below_count;
	uint32_t flags;    /* LV_RESTORE_* */
	uint64_t machine_memory; /* of a Linux guest: with which it was started, since when it may have been told to use less; 0: as the configuration says */
	struct { int device, listener; } pager; /* its memory comes while it runs (abi/memory_later.h); -1: it is all there. Owned */
};

struct net_link;
struct shell;
struct vm_config { /* all strings are owned */
	char id[STATE_ID + 1];
	char *name; /* NULL: none */
	uint64_t created_ns; /* CLOCK_REALTIME */
	int image_fd;
	char *image;   /* path; NULL: there is none */
	uint64_t image_ns; /* CLOCK_MONOTONIC when it was found or packed: for the boot ledger of this start, not kept; 0: not known */
	char *program; /* path in the image */
	struct strings args, env;
	struct strings labels; /* NAME=VALUE: nothing to the VM itself */
	char *pid_file;        /* absolute; for a command line that starts it; NULL: none */
	char *cwd, *hostname;
	char *stop_signal; /* "SIGQUIT": what asks the program to end; NULL: SIGTERM */
	uint32_t uid, gid;
	uint64_t memory; /* bytes */
	enum prefault prefault; /* library OS */
	struct config_guest guest;
	struct net_spec net;
	struct config_disk disk[CONFIG_DISKS];
	size_t disks;
	struct config_mount mount[CONFIG_MOUNTS];
	size_t mounts;
	uint32_t record; /* LV_RECORD_*: what is noted of the image's files (node/vm_files.h); library OS; not kept */
	bool detached, remove;
	bool tied; /* detached, but it ends with whoever started it, or closes launch->configured; not kept */
	bool terminal; /* the program gets a terminal of its own */
	bool keeps_stdin; /* detached: input stays open for "lightvm console" */
	int stream_fd; /* detached: the program's standard input and output, a socket; borrowed, not kept; -1: none */
	struct net_link *link; /* of its network, open already, and taken from there by whoever launches it (node/link.h); NULL: net is opened */
	struct shell *shell; /* its monitor, a child of ours, likewise (launch_ahead); NULL: one is claimed or started */
	struct config_restart restart; /* what lightvmd does at its end */
	struct config_state state; /* not kept */
};

void config_init(struct vm_config *config);
/* Replaces or adds one NAME=VALUE. */
void config_env(struct vm_config *config, const char *assignment);
/* The same, if there is none of that name. */
void config_env_default(struct vm_config *config, const char *assignment);
/* The same of a label; NAME alone is "NAME=". */
void config_label(struct vm_config *config, const char *assignment);
/* One mount more, whose path it owns from now on; -E2BIG with a message. */
int config_mount(struct vm_config *config, struct config_mount mount, struct error *error);
/* As a word of parse/mount_word.h; the caller's. number: of this mount among those of the configuration. NULL: out of memory. */
char *config_mount_word(const struct config_mount *mount, unsigned number);
/* What the monitor would refuse, said in the user's words. Whatever filled it: options, JSON, an API. */
int config_validate(const struct vm_config *config, struct error *error);
/* What of that does not depend on anything else: amounts, and where paths begin. */
int config_validate_bounds(const struct vm_config *config, struct error *error);
/* Bytes that its machine has: those of the configuration, unless it goes on as a machine that has others. */
uint64_t config_machine_memory(const struct vm_config *config);
/* How long the file of a VM's memory can be (saved, or moved), in bytes, if the VM may have so much: limit, at most CONFIG_MEMORY_MOST. */
uint64_t config_memory_file_most(bool is_linux, uint64_t limit);
/* Closes the descriptors too; accepts what is half built. */
void config_free(struct vm_config *config);

/* The published form (docs/vm-config.md): what it wrote reads back to the same. A new reference, or NULL: out of memory. */
json_t *config_to_json(const struct vm_config *config);
/*
 * config is as config_init left it. What is missing keeps its default; a key that is not known is refused, and so is another
 * version. Opens nothing; config_validate and config_open (node/config_open.h) follow. -EINVAL, -ERANGE, -ENOMEM. Free in both cases.
 */
int config_from_json(struct vm_config *config, const json_t *json, struct error *error);

/* config.json of the VM, replaced as a whole; and the copy that outlives the machine's run, where a restart policy wants one (node/kept.h). */
int config_write(const struct vm_config *config, int dir, struct error *error);
/* The same from what config_read answered, changed; NULL: -ENOMEM. */
int config_write_json(const json_t *json, int dir, struct error *error);
/* The parsed file, a new reference; NULL: missing or damaged. For what only shows it: a file of another version has other keys. */
json_t *config_read(int dir);
/* The file as a configuration. -ENOENT, -EINVAL. */
int config_load(struct vm_config *config, int dir, struct error *error);
/* A string member of the parsed file, or "". Valid as long as the object. */
const char *config_string(const json_t *config, const char *key);

#endif
