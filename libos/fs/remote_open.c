/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a live volume are opened and closed with as few messages as may be: who opens one to read it gets its first bytes along, and what was open for reading stays so at
 * the server for a while, for who opens it again.
 */
#include "abi/fuse_more.h"
#include "libos/fs/remote.h"
#include "libos/mm/mm.h"

#define FIRST_PAGES (LV_FUSE_OPEN_BYTES / REMOTE_PAGE)
#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_DSYNC | __O_SYNC) /* that the server is told */

struct remote_file *remote_file_new(void)
{
	return kzalloc(sizeof(struct remote_file));
}

void remote_opened(struct file *file, struct remote_file *private)
{
	private->believed_until = clock_monotonic() + REMOTE_NAME_NS;
	file->ops = &remote_file_ops;
	file->private = private;
}

/* ---- what is open at the server only ---- */

void remote_tell_release(struct remote_inode *inode, uint64_t fh, uint32_t flags, uint64_t owner)
{
	const struct fuse_release_in in = { .fh = fh, .flags = flags, .release_flags = FUSE_RELEASE_FLUSH, .lock_owner = owner };
	remote_tell(inode->remote, FUSE_RELEASE, inode->node, &in, sizeof(in));
}

static uint64_t take_spare(struct remote_inode *inode)
{
	uint64_t fh = inode->spare;
	if (fh)
		inode->remote->spare[inode->spare_place] = NULL;
	inode->spare = 0;
	return fh;
}

void remote_drop_spare(struct remote_inode *inode)
{
	uint64_t fh = take_spare(inode);
	if (fh)
		remote_tell_release(inode, fh, O_RDONLY, 0);
}

/* The one that has been there for longest goes. */
static void keep_spare(struct remote_inode *inode, const struct remote_file *private)
{
	struct remote_fs *remote = inode->remote;
	unsigned place = remote->next_spare++ % REMOTE_SPARES;
	if (remote->spare[place])
		remote_drop_spare(remote->spare[place]);
	remote_drop_spare(inode);
	remote->spare[place] = inode;
	inode->spare_place = (uint8_t)place;
	inode->spare = private->fh;
	inode->spare_until = private->believed_until;
}

/* The server has no more room for what is open. */
static bool drop_spares(struct remote_fs *remote)
{
	bool any = false;
	for (unsigned i = 0; i < REMOTE_SPARES; i++) {
		if (!remote->spare[i])
			continue;
		remote_drop_spare(remote->spare[i]);
		any = true;
	}
	return any;
}

int64_t remote_ask_handle(struct remote_fs *remote, uint32_t opcode, uint64_t node, const struct remote_words *words)
{
	int64_t r = remote_ask(remote, opcode, node, words);
	return (r == -ENFILE || r == -EMFILE) && drop_spares(remote) ? remote_ask(remote, opcode, node, words) : r;
}

/* ---- opening and closing ---- */

static bool reads_only(const struct file *file)
{
	return (file->flags & OPEN_FLAGS) == O_RDONLY;
}

static bool open_spare(struct remote_inode *inode, struct file *file, struct remote_file *private)
{
	uint64_t until = inode->spare_until;
	if (!inode->spare || !reads_only(file) || clock_monotonic() >= until)
		return false;
	private->fh = take_spare(inode);
	remote_opened(file, private);
	private->believed_until = until; /* by the server's word of then */
	return true;
}

/* Room for the first bytes, where they are wanted. */
static char *first_pages(struct inode *inode, const struct file *file)
{
	if ((file->flags & O_ACCMODE) == O_WRONLY || file->flags & O_DIRECT || !inode->size || remote_page(inode, 0))
		return NULL;
	remote_make_room(FIRST_PAGES, remote_inode(inode));
	return page_alloc_run(FIRST_PAGES);
}

static int64_t ask_open(struct inode *inode, const struct file *file, uint64_t *fh)
{
	struct remote_inode *remote = remote_inode(inode);
	struct remote_answer first = { .count = FIRST_PAGES, .pages = first_pages(inode, file), .changes = remote->changes };
	const struct fuse_open_in in = { .flags = file->flags & OPEN_FLAGS, .open_flags = first.pages ? LV_FUSE_OPEN_READ : 0 };
	const struct ring_buffer buffer = { .data = first.pages, .len = LV_FUSE_OPEN_BYTES, .device_writes = true };
	struct fuse_open_out out = { 0 };
	const struct remote_words words = { .in = &in, .in_size = sizeof(in), .out = &out, .out_size = sizeof(out), .out_least = sizeof(out),
		.pages = &buffer, .page_count = first.pages ? 1 : 0 };
	int64_t r = remote_ask_handle(remote->remote, FUSE_OPEN, remote->node, &words);
	first.n = r < (int64_t)sizeof(out) ? 0 : MIN(r - (int64_t)sizeof(out), (int64_t)ALIGN_UP(inode->size, REMOTE_PAGE));
	if (first.pages)
		remote_keep_answer(inode, &first);
	*fh = out.fh;
	return r;
}

static int open_regular(struct inode *inode, struct file *file)
{
	struct remote_file *private = remote_file_new();
	if (!private)
		return -ENOMEM;
	if (open_spare(remote_inode(inode), file, private))
		return 0;
	int64_t r = ask_open(inode, file, &private->fh);
	if (r < 0)
		kfree(private);
	else
		remote_opened(file, private);
	return r < 0 ? (int)r : 0;
}

/* A FIFO or a socket is one among the programs of this VM; devices of the host are no devices of it. */
int remote_open(struct inode *inode, struct file *file)
{
	remote_used(remote_inode(inode));
	if (S_ISREG(inode->mode))
		return open_regular(inode, file);
	return S_ISCHR(inode->mode) || S_ISBLK(inode->mode) ? -EACCES : vfs_open_special(inode, file);
}

void remote_release(struct file *file)
{
	struct remote_inode *inode = remote_inode(file->inode);
	const struct remote_file *private = remote_file(file);
	if (reads_only(file) && !private->locked && !inode->locked && !inode->removed && clock_monotonic() < private->believed_until)
		keep_spare(inode, private);
	else
		remote_tell_release(inode, private->fh, file->flags, (uint64_t)file); /* of F_OFD_SETLK */
	kfree(file->private);
}
