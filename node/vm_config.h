/* SPDX-License-Identifier: Apache-2.0 */
/* One VM as asked for: filled from command line and image manifest, validated, then applied and kept as config.json. */
#ifndef LV_NODE_VM_CONFIG_H
#define LV_NODE_VM_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "node/net_spec.h"
#include "node/state.h"

#define CONFIG_MEMORY (256ull << 20) /* unless told otherwise; a limit, not a cost */
#define CONFIG_DISKS 8

struct config_disk {
	char *path, *serial; /* serial NULL: none */
	bool read_only;
	bool overlay; /* keeps what a Linux guest writes to its root */
	int fd;
};

struct config_guest { /* which kernel, and what only a Linux guest has */
	bool is_linux;
	bool bare;	    /* nothing of ours is in it: no PID 1, no agent; it speaks through a serial port */
	char *kernel;	    /* "libos", the name of a built kernel, or a path as it was given */
	char *kernel_path;  /* absolute; NULL: libos */
	const char *initrd; /* NULL: ours, or none with bare */
	const char *append; /* NULL: nothing */
	int kernel_fd, initrd_fd; /* -1: none */
	uint32_t cpus;
};

struct vm_config { /* zero-initialised: empty; fds are set by config_init */
	char id[STATE_ID + 1];
	const char *name; /* NULL: none */
	int image_fd;
	char *image;   /* path, for information; NULL: there is none */
	char *program; /* path in the image */
	struct strings args, env;
	char *cwd, *hostname;
	uint32_t uid, gid;
	uint64_t memory;
	struct config_guest guest;
	struct net_spec net;
	struct config_disk disk[CONFIG_DISKS];
	size_t disks;
	bool detached, remove;
	bool terminal; /* Linux guests: the program gets a terminal of its own */
	bool keeps_stdin; /* detached: input stays open for "lightvm console" */
};

void config_init(struct vm_config *config);
/* Replaces or adds one NAME=VALUE. */
void config_env(struct vm_config *config, const char *assignment);
/* What the monitor would refuse, said in the user's words. */
int config_validate(const struct vm_config *config, struct error *error);
void config_free(struct vm_config *config);

/* config.json of the VM; written while its directory is not visible yet. */
int config_write(const struct vm_config *config, int dir, struct error *error);
/* The parsed file, a new reference; NULL: missing or damaged. */
json_t *config_read(int dir);
/* A string member of it, or "". Valid as long as the object. */
const char *config_string(const json_t *config, const char *key);

#endif
