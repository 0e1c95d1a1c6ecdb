/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/sysgenid: a number that becomes another one when the VM does (restored, or a clone), before the program's next instruction. As in the driver proposed for Linux
 * (Catangiu, "System Generation ID driver and VMGENID backend", 2021): its first four bytes may be mapped; a read waits until it is another one than the file's, which is
 * that of its open, or that which was written to it last. It does not count: the numbers of two clones differ, too.
 */
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

static uint32_t *word; /* in a page of its own; NULL: nobody has asked yet */
static struct waitq waiting;

static uint32_t number(uint32_t than)
{
	uint64_t generation = *(const volatile uint64_t *)&device_page->generation;
	uint32_t folded = (uint32_t)(generation ^ generation >> 32);

	while (!folded || folded == than)
		folded++;
	return folded;
}

static void become_another(void)
{
	*word = number(*word);
	wake_all(&waiting, EPOLLIN | EPOLLRDNORM);
}

int sysgenid_opened(struct file *file)
{
	static struct generation_hook generation = { .changed = become_another };

	if (!word) {
		word = page_alloc_zeroed(0);
		if (!word)
			return -ENOMEM;
		generation_look();
		generation_add(&generation);
		*word = number(0);
	}
	file->position = *word;
	return 0;
}

static int64_t gen_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	uint32_t now;

	if (n < sizeof(now))
		return -EINVAL;
	while (*word == (uint32_t)file->position) {
		int err = file->flags & O_NONBLOCK ? -EAGAIN : wait_on(&waiting, 0);
		if (err)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	now = *word;
	return buffer_put(to, &now, sizeof(now)) == sizeof(now) ? (int64_t)sizeof(now) : -EFAULT;
}

static int64_t gen_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	uint32_t seen;

	if (n != sizeof(seen))
		return -EINVAL;
	if (buffer_get(&seen, from, sizeof(seen)) != sizeof(seen))
		return -EFAULT;
	if (seen != *word)
		return -EINVAL;
	file->position = seen;
	return sizeof(seen);
}

static uint32_t gen_poll(struct file *file, struct waitq **queue)
{
	*queue = &waiting;
	return EPOLLOUT | EPOLLWRNORM | (*word != (uint32_t)file->position ? EPOLLIN | EPOLLRDNORM : 0);
}

static uint64_t gen_map_page(struct file *file, uint64_t offset, bool for_write)
{
	return offset || for_write ? 0 : (uint64_t)word;
}

const struct file_ops sysgenid_ops = { .kind = "sysgenid", .read = gen_read, .write = gen_write, .poll = gen_poll, .map_page = gen_map_page };
