/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/template: a program that reads it says that it has come as far as it is to be copied, and waits. Each VM that is restored from it, or cloned, goes on from there,
 * and reads what it is to do: arguments, environment and directory of its own configuration (docs/state.md), until the end of the file. The directory is its own by then.
 */
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#define MOST (1u << 20) /* bytes of a request */

struct template {
	char *request; /* NULL: it was not waited for yet, or there is none */
	size_t size;
	bool waited;
};

static struct waitq waiting;
static unsigned waiters;

static void become_another(void)
{
	wake_all(&waiting, 0);
}

int template_opened(struct file *file)
{
	static struct generation_hook generation;

	if (!generation.changed) {
		generation.changed = become_another;
		generation_look();
		generation_add(&generation);
	}
	file->private = kzalloc(sizeof(struct template));
	return file->private ? 0 : -ENOMEM;
}

static void tell(bool ready)
{
	waiters += ready ? 1 : -1;
	if (waiters == ready)
		hypercall(LV_HC_TEMPLATE, ready);
}

/* 0 in another VM, which is told of nobody who waits; -EINTR in this one. */
static int wait_for_copy(void)
{
	const volatile uint64_t *generation = &device_page->generation;
	const uint64_t mine = *generation;
	int err = 0;

	tell(true);
	while (*generation == mine && !err)
		err = wait_on(&waiting, 0);
	tell(false);
	return *generation == mine ? err : 0;
}

static int64_t ask(void *to, size_t room)
{
	shared_page->arg[1] = room;
	return hypercall(LV_HC_REQUEST, (uint64_t)to);
}

static int fetch_request(struct template *t)
{
	int64_t size = ask(NULL, 0);

	if (size <= 0)
		return (int)size;
	if (size > MOST)
		return -E2BIG;
	t->request = kmalloc((size_t)size);
	if (!t->request)
		return -ENOMEM;
	t->size = (size_t)size;
	return ask(t->request, t->size) == size ? 0 : -EIO;
}

/* The directory; one that is not there is for the program to find out. */
static void enter_directory(const struct template *t)
{
	static const char key[] = "cwd=";
	size_t n;

	for (const char *s = t->request, *end = s + t->size; s && s < end; s += n + 1) {
		n = strnlen(s, (size_t)(end - s));
		if (n < (size_t)(end - s) && strncmp(s, key, sizeof(key) - 1) == 0)
			path_enter(s + sizeof(key) - 1);
	}
}

static int64_t template_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct template *t = file->private;
	size_t at = (size_t)*position, part;
	int err = t->waited ? 0 : wait_for_copy();

	if (err)
		return err == -EINTR ? -ERESTARTSYS : err;
	if (!t->waited) {
		t->waited = true;
		err = fetch_request(t);
		if (err)
			return err;
		enter_directory(t);
	}
	part = at < t->size ? MIN(n, t->size - at) : 0;
	if (part && buffer_put(to, t->request + at, part) != part)
		return -EFAULT;
	*position += (int64_t)part;
	return (int64_t)part;
}

static void template_release(struct file *file)
{
	struct template *t = file->private;

	kfree(t->request);
	kfree(t);
}

const struct file_ops template_ops = { .kind = "template", .read = template_read, .release = template_release };
