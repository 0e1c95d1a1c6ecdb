/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes (xattr(7)): those of programs (user.), which live volumes keep with the host's file, and those of root's programs (trusted.) of files
 * in RAM and of the image. Others would have a meaning for the kernel, which they have not here: EOPNOTSUPP.
 */
#include "libos/fs/inotify.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define NAME_MOST 255
#define VALUE_MOST 65536
#define CREATE 1
#define REPLACE 2
#define IS_OF(name, prefix) (!strncmp(name, prefix, sizeof(prefix) - 1))

struct xattr {
	struct xattr *next;
	size_t size;
	char *value; /* behind the name */
	char name[];
};

struct request {
	enum attribute_verb what;
	char name[NAME_MOST + 1];
	uaddr_t buffer;
	size_t size;
	int flags;
	struct xattr *new; /* of ATTRIBUTE_SET: not yet in a list */
};

void xattrs_free(struct inode *inode)
{
	for (struct xattr *attr = inode->xattrs, *next; attr; attr = next) {
		next = attr->next;
		kfree(attr);
	}
}

/* ---- what is asked for ---- */

static int read_value(struct request *request)
{
	size_t name = strlen(request->name) + 1;

	if (request->flags & ~(CREATE | REPLACE))
		return -EINVAL;
	if (request->size > VALUE_MOST)
		return -E2BIG;
	struct xattr *new = kmalloc(sizeof(*new) + name + request->size);

	if (!new)
		return -ENOMEM;
	memcpy(new->name, request->name, name);
	new->value = new->name + name;
	new->size = request->size;
	if (request->size && user_read(new->value, request->buffer, request->size)) {
		kfree(new);
		return -EFAULT;
	}
	request->new = new;
	return 0;
}

static int request_read(struct request *request, enum attribute_verb what, const long *a)
{
	int64_t len;

	*request = (struct request){ .what = what, .buffer = (uaddr_t)a[what == ATTRIBUTE_LIST ? 1 : 2], .size = (size_t)a[what == ATTRIBUTE_LIST ? 2 : 3], .flags = (int)a[4] };
	if (what == ATTRIBUTE_LIST)
		return 0;
	len = user_string(request->name, a[1], sizeof(request->name));
	if (len == -EFAULT)
		return -EFAULT;
	if (len <= 0) /* empty or too long */
		return -ERANGE;
	return what == ATTRIBUTE_SET ? read_value(request) : 0;
}

/* ---- what may be done ---- */

static int check(struct inode *inode, const struct request *request)
{
	bool write = request->what != ATTRIBUTE_GET, common = inode && (S_ISREG(inode->mode) || S_ISDIR(inode->mode));

	if (write && inode && inode->fs->read_only)
		return -EROFS;
	if (IS_OF(request->name, "trusted.") && !capable(CAP_SYS_ADMIN))
		return write ? -EPERM : -ENODATA;
	if (IS_OF(request->name, "user.") && !common) /* not of what anybody may write to: links, devices */
		return write ? -EPERM : -ENODATA;
	if (!inode || (!inode->fs->remembered && !remote_of(inode)) || (remote_of(inode) && !IS_OF(request->name, "user.")) || (!IS_OF(request->name, "user.") && !IS_OF(request->name, "trusted.")))
		return -EOPNOTSUPP;
	if (IS_OF(request->name, "trusted."))
		return 0;
	if (write && S_ISDIR(inode->mode) && inode->mode & S_ISVTX && !inode_is_own(inode))
		return -EPERM;
	return inode_permission(inode, write ? LINUX_W_OK : LINUX_R_OK);
}

/* ---- what is done ---- */

static struct xattr **find(struct inode *inode, const char *name)
{
	struct xattr **at = &inode->xattrs;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static long give(const struct request *request, size_t at, const char *from, size_t n)
{
	if (!request->size)
		return 0;
	if (at + n > request->size)
		return -ERANGE;
	return user_write(request->buffer + at, from, n);
}

static long list(const struct inode *inode, const struct request *request)
{
	size_t total = 0;

	for (const struct xattr *attr = inode ? inode->xattrs : NULL; attr; attr = attr->next) {
		size_t n = strlen(attr->name) + 1;
		long err = 0;

		if (IS_OF(attr->name, "trusted.") && !capable(CAP_SYS_ADMIN))
			continue;
		err = give(request, total, attr->name, n);
		if (err)
			return err;
		total += n;
	}
	return (long)total;
}

static long set(struct xattr **at, struct request *request)
{
	struct xattr *old = *at;

	if (old && request->flags & CREATE)
		return -EEXIST;
	if (!old && request->flags & REPLACE)
		return -ENODATA;
	request->new->next = old ? old->next : NULL;
	*at = request->new;
	request->new = NULL;
	kfree(old);
	return 0;
}

/* Of a live volume, by way of a buffer of libos' own: the volume's server does not see the program's memory. */
static long ask_remote(struct inode *inode, const struct dentry *dentry, struct request *request)
{
	bool set = request->what == ATTRIBUTE_SET;
	size_t size = MIN(request->size, VALUE_MOST), pages = set ? 0 : ALIGN_UP(size, LV_PAGE) / LV_PAGE;
	char *buffer = pages ? page_alloc_run(pages) : NULL;
	long r = pages && !buffer ? -ENOMEM : 0;

	inode_get(inode); /* who asked may go meanwhile */
	if (!r)
		r = inode_refresh(inode);
	if (!r && request->what != ATTRIBUTE_LIST)
		r = check(inode, request);
	if (!r)
		r = remote_of(inode)->attribute(inode, request->what, request->name, set ? request->new->value : buffer, size, request->flags);
	if (r > 0 && buffer && user_write(request->buffer, buffer, (size_t)r))
		r = -EFAULT;
	if (!r && (set || request->what == ATTRIBUTE_REMOVE))
		fs_event(inode, dentry, IN_ATTRIB);
	if (buffer)
		page_free_run(buffer, pages);
	inode_put(inode);
	return r;
}

static long serve(struct inode *inode, const struct dentry *dentry, struct request *request)
{
	struct xattr **at, *attr;
	long err;

	if (inode && remote_of(inode) && (S_ISREG(inode->mode) || S_ISDIR(inode->mode)))
		return ask_remote(inode, dentry, request);
	if (request->what == ATTRIBUTE_LIST)
		return list(inode, request);
	err = check(inode, request);
	if (err)
		return err;
	at = find(inode, request->name);
	attr = *at;
	if (!attr && request->what != ATTRIBUTE_SET)
		return -ENODATA;
	if (request->what == ATTRIBUTE_GET) {
		err = give(request, 0, attr->value, attr->size);
		return err ? err : (long)attr->size;
	}
	if (request->what == ATTRIBUTE_SET) {
		err = set(at, request);
	} else {
		*at = attr->next;
		kfree(attr);
	}
	if (!err) {
		inode_touch(inode, TOUCH_CTIME);
		fs_event(inode, dentry, IN_ATTRIB);
	}
	return err;
}

static long by_path(const long *a, enum attribute_verb what, bool follow)
{
	struct request request;
	struct walk walk;
	long r = request_read(&request, what, a);

	if (!r)
		r = path_at(AT_FDCWD, (const char *)a[0], follow ? WALK_FOLLOW : 0, &walk);
	if (!r) {
		r = serve(walk.dentry ? walk.dentry->inode : walk.file->inode, walk.dentry, &request);
		walk_done(&walk);
	}
	kfree(request.new);
	return r;
}

static long by_file(const long *a, enum attribute_verb what)
{
	const struct file *file = fd_get((int)a[0]);
	struct request request;
	long r = request_read(&request, what, a);

	if (!r)
		r = !file || file->flags & O_PATH ? -EBADF : serve(file->inode, file->dentry, &request);
	kfree(request.new);
	return r;
}

#define CALLS(name, what)                            \
	SYSCALL(name##xattr)                         \
	{                                            \
		return by_path(a, what, true);       \
	}                                            \
	SYSCALL(l##name##xattr)                      \
	{                                            \
		return by_path(a, what, false);      \
	}                                            \
	SYSCALL(f##name##xattr)                      \
	{                                            \
		return by_file(a, what);             \
	}

CALLS(get, ATTRIBUTE_GET)
CALLS(set, ATTRIBUTE_SET)
CALLS(remove, ATTRIBUTE_REMOVE)
CALLS(list, ATTRIBUTE_LIST)
